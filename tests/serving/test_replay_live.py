"""1,000 answers of a server under load, while events and items come in: each is the same again, or its missing part is
named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import structs

from feature_repo import registry
from feature_repo.columns import ItemColumns
from freshet.local.ports import free_ports
from recommend.model import Model
from recommend.surfaces import SURFACES
from schemas import bundle
from serving.record_store import RecordStore
from serving.replay import read, replay
from serving.settings import ServingSettings
from tests.live import Live, end, until
from tests.serving.test_outages import repeated

ANSWERS = 1_000
THREADS = 3
ASK_S = 240.0


@pytest.fixture
def recording(live: Live, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server that records every answer, over the session's stack: its address and its file."""
    settings, port, records = live.stack.settings, free_ports()["http_port"], tmp_path / "answers.db"
    env = {
        **os.environ,
        "FRESHET_HTTP_PORT": str(port),
        "FRESHET_KAFKA": settings.kafka,
        "FRESHET_BUNDLES": str(settings.bundles),
        "FRESHET_FEATURE_STORE": str(settings.feature_store),
        "FRESHET_RECORDS": str(records),
        "FRESHET_RECORD_SHARE": "1",
        "FRESHET_RECORD_QUEUE": str(2 * ANSWERS),
    }
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "serving"], env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: _ready(f"http://127.0.0.1:{port}"), 60)
        yield f"http://127.0.0.1:{port}", records
    finally:
        end(process)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.proof
@pytest.mark.integration
def test_answers_under_load_are_the_same_again(live: Live, recording: tuple[str, Path]) -> None:
    url, records = recording
    bodies: dict[str, bytes] = {}
    lock, count, deadline = threading.Lock(), iter(range(10**9)), time.monotonic() + ASK_S

    def post(client: httpx.Client) -> None:
        k = next(count)
        # Of each item the price alone: other tests show the same catalogue.
        item = msgspec.to_builtins(structs.replace(live.log.items[k % 300], price=float(k % 50)))
        client.post("/v1/items", json=item).raise_for_status()
        client.post("/v1/events", json=live.event(f"u{k % 40}", "click", f"i{k * 7 % 300}")).raise_for_status()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            while len(bodies) < ANSWERS and time.monotonic() < deadline:
                k = next(count)
                person, explain = f"u{k % 40}", ("reason", "full", "events", "none")[k % 4]
                calls: list[tuple[str, dict[str, Any]]] = [
                    (f"/v1/users/{person}/feed", {"explain": explain, "region": "r1"}),
                    (f"/v1/users/{person}/feed", {"filter": "item.price < 30"}),
                    (f"/v1/items/i{k % 300}/similar", {}),
                    ("/v1/trending", {"n": 10}),
                ]
                path, query = calls[k % len(calls)]
                answer = client.get(path, params=query).raise_for_status()
                with lock:
                    bodies[answer.json()["request_id"]] = answer.content

    with repeated(post, url, 0.02), ThreadPoolExecutor(THREADS) as threads:
        for asked in [threads.submit(ask) for _ in range(THREADS)]:
            asked.result()
    assert len(bodies) >= ANSWERS
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    until(lambda: _settled(url), 60)
    declared, loaded = registry.load(ServingSettings().definitions), bundle.current(live.stack.settings.bundles)
    assert loaded is not None

    def model_of(version: str, columns: ItemColumns) -> Model:
        assert version == loaded.version
        return Model.of(loaded, columns, lambda ids: [columns.row(each) for each in ids], declared.crosses)

    store, surfaces, found = RecordStore(records), {each.name: each for each in SURFACES}, Counter[str]()
    for request_id, body in bodies.items():
        entry = store.find(request_id)
        if entry is None:
            found["record"] += 1
            continue
        made = replay(read(entry.record), None, model_of, surfaces, declared)
        found["the same" if made.body == body else f"another: {made.differs}"] += 1
    print(f"of {len(bodies)} answers: {dict(found)}")
    busy = sum(float(line.split()[-1]) for line in metrics.splitlines() if 'records_total{result="busy"}' in line)
    assert found.keys() <= {"the same", "record"}
    assert found["record"] <= busy, "without a record are those alone for which the columns were not free"
    assert found["the same"] >= 0.8 * len(bodies)


def _settled(url: str) -> bool:
    """Whether every answer that was chosen has come to something."""
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    stored = [float(line.split()[-1]) for line in text.splitlines() if "answer_records_total{" in line]
    return sum(stored) >= ANSWERS
