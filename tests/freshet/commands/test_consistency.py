"""`freshet features consistency`, and examples, on a running stack."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.cli import main
from freshet.local.ports import free_ports
from freshet.settings import Settings
from tests.freshet.commands.test_features import freshet, until_taken
from tests.live import end

SECONDS, RATE, FEEDS = 60, 150, 8
"""of load, interactions a second, feeds a second"""


def test_without_an_archive_there_is_nothing_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    monkeypatch.setattr("training.log.items_from_kafka", lambda address: [])
    assert main(["features", "consistency"]) == 1
    assert "no impression to compare" in capsys.readouterr().err


@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_feeds_under_load_are_logged_labelled_and_consistent(tmp_path: Path) -> None:
    """Every item of every feed becomes one example with the clicks that it got, the same as a replay of the archive
    makes, and what the ranker was given is what the archive says."""
    from bench.stacks import load_movielens, retimed, send, shuffled
    from feature_repo import registry
    from feature_repo.inputs import names
    from training import labelled

    chosen = free_ports()
    ports = {f"FRESHET_{name.upper()}": str(port) for name, port in chosen.items()}
    env = {
        **ports, "FRESHET_HOME": str(tmp_path), "FRESHET_ATTRIBUTION_MINUTES": "0.5",
        "FRESHET_ATTRIBUTION_LATE_MINUTES": "0.5", "FRESHET_START_TIMEOUT": "300",
    }  # fmt: skip
    settings = Settings(home=tmp_path, **chosen)
    try:
        freshet("up", "--only", "kafka,redis", **env)
        data = load_movielens(settings, print, registry.declared())
        now = time.time_ns() // 1_000_000
        send(settings, list(retimed(shuffled(data.interactions)[:20_000], now - 3 * 86_400_000, now - 600_000)))
        freshet("up", **env)
        until_taken(settings)
        clicks, shown = visited(settings, [user.user_id for user in data.users])
        expected = {(request, place): labels for request, items in shown.items() for place, labels in items.items()}
        deadline = time.monotonic() + 240
        while (n := sum(in_files(settings).values())) < len(expected):
            assert time.monotonic() < deadline, f"{n} of {len(expected)} examples"
            time.sleep(5)
        said = consistency(**env)
        print(json.dumps(said["inputs"]["all"]), said["skipped"], f"{said['impressions']} impressions")
        assert set(said["inputs"]) == {*names(registry.declared().crosses), "all"}
        assert said["inputs"]["all"]["different"] == 0
        assert said["inputs"]["all"]["share"] >= 0.9999

        found = in_files(settings)
        assert set(found.values()) == {1}
        labels = {(request, place): json.loads(said) for request, place, said in found}
        assert {where: {k: n for k, n in own.items() if k == "click"} for where, own in labels.items()} == expected
        again = replayed(settings)
        assert again.keys() == labels.keys()
        # A rating that names no list may have been read before the list that it came just after.
        different = {where: (own, again[where]) for where, own in labels.items() if own != again[where]}
        print(f"{len(labels)} examples, {clicks} clicks; a replay says otherwise of {different}")
        assert len(different) <= len(labels) / 1000
        (version,) = {path.name for path in settings.bundles.iterdir() if path.is_dir()}
        arrays = labelled.read(labelled.finished(settings.archive / "examples"), version)
        assert arrays.labels["click"].sum() == clicks
        assert len(arrays) > 0.99 * len(expected)
    finally:
        freshet("down", **env)


def consistency(**env: str) -> dict[str, Any]:
    """What the command says; it must succeed."""
    return json.loads(freshet("features", "consistency", "--json", **env))  # type: ignore[no-any-return]


def in_files(settings: Settings) -> Counter[tuple[str, int, str]]:
    import pyarrow.parquet as pq

    found: Counter[tuple[str, int, str]] = Counter()
    for file in (settings.archive / "examples").glob("day=*/part-*"):
        table = pq.read_table(file, partitioning=None)
        found.update(zip(*(table[name].to_pylist() for name in ("request_id", "position", "labels")), strict=True))
    return found


def replayed(settings: Settings) -> dict[tuple[str, int], dict[str, int]]:
    """The labels that a replay of the archive comes to."""
    from feature_repo.builders import item_operator, user_operator
    from operators.attribution import Attribution
    from schemas.events import LabelledExample
    from training import archive
    from training.replay import KnownItems, Replay

    found: list[LabelledExample] = []
    world, join = KnownItems(), Attribution(30_000, 30_000)
    replay = Replay(user_operator(world, None, attribution=join), item_operator(world), on_example=found.append)
    for record in archive.read(archive.finished(settings.archive / "events")):
        replay.feed(record)
    replay.finish()
    return {(example.request_id, example.position): example.labels for example in found}


@contextmanager
def others_act(settings: Settings) -> Iterator[None]:
    """Other people act meanwhile, and until all that they are to do is sent."""
    others = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", LOAD, str(RATE), str(SECONDS + 5)],
        env={**os.environ, **{f"FRESHET_{n.upper()}": str(v) for n, v in settings.model_dump().items() if "port" in n}},
        stdout=subprocess.PIPE,
    )
    assert others.stdout
    try:
        assert others.stdout.readline() == b"begun\n"
        yield
        assert others.wait(timeout=200) == 0
    finally:
        end(others)
        others.stdout.close()


def visited(settings: Settings, people: list[str]) -> tuple[int, dict[str, dict[int, Any]]]:
    """People ask for feeds and click in them while others act. The clicks, and what each shown item got, by request."""
    rng = random.Random(7)
    shown: dict[str, dict[int, Any]] = {}
    clicks = 0
    with others_act(settings), httpx.Client(base_url=settings.http_url, timeout=30, trust_env=False) as client:
        began = time.monotonic()
        for n in range(SECONDS * FEEDS):
            time.sleep(max(0.0, began + n / FEEDS - time.monotonic()))
            who = rng.choice(people) if rng.random() < 0.9 else f"guest-{rng.randrange(50)}"
            query = {"n": "20", **({"region": "DE"} if rng.random() < 0.5 else {})}
            feed = client.get(f"/v1/users/{who}/feed", params=query).raise_for_status().json()
            items = [entry["item_id"] for entry in feed["items"]]
            own: dict[int, Any] = shown.setdefault(feed["request_id"], {place: {} for place in range(len(items))})
            if rng.random() < 0.4:
                place = rng.randrange(len(items))
                own[place] = {"click": 1}
                clicks += 1
                event = {
                    "event_id": uuid.uuid4().hex, "event_type": "click", "user_id": who, "item_id": items[place],
                    "timestamp": time.time_ns() // 1_000_000, "request_id": feed["request_id"],
                    "properties": {"region": "DE"},
                }  # fmt: skip
                client.post("/v1/events", json=event).raise_for_status()
    return clicks, shown


LOAD = """
import sys, time
from msgspec import structs
from bench.stacks import shuffled
from freshet.data.producer import Producer
from freshet.settings import Settings
from schemas import codec
from schemas.topics import key_of, topic_of
from training.datasets import movielens

rate, seconds = map(int, sys.argv[1:])
events = shuffled(movielens().interactions, 1)
began = time.monotonic()
print("begun", flush=True)
with Producer(Settings()) as producer:
    for n in range(rate * seconds):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        at = time.time_ns() // 1_000_000
        said = {"rating": n % 5 + 1, "region": "DE"}
        event = structs.replace(events[n % len(events)], event_id=f"load-{n}", timestamp=at, properties=said)
        producer.send(topic_of(event), key_of(event), codec.encode(event))
    producer.flush()
"""
