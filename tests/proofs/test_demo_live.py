"""The calls in the docs with the answers below them, and pages of a feed, on the whole stack with MovieLens-100K.

DOCS_ANSWERS=write writes the answers into the docs instead of comparing them (`make docs-answers`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.local.ports import free_ports
from recommend.surfaces import SURFACES
from schemas.clock import now_ms
from tests.documented import DOCS, Call, calls, differences, rewritten

# The demo, and what the docs add, are part of the first test's time.
pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]

WRITES = os.environ.get("DOCS_ANSWERS") == "write"
LEFT_OUT = ("bargains",)
"""a surface that the reader is to make first"""
FOUND = ("items", "rows", "categories", "brands", "users", "answers", "rules")
"""what an answer is a list of"""
MAY_BE_EMPTY = {
    "/v1/users/anna/again?filter=item.price%20%3C%2020": "",
    "/v1/users/anna/page?filter=item.price%20%3C%2020&exclude=50,181&explain=full&dry_run=true": "films have no prices",
}
PEOPLE = ("anna", "ben", "carla", "dave", "emil", "frida", "gina", "hugo")
"""of docs/answers.md"""
DEADLINE_S = 300.0
KEY = "of-the-demo-alone"
"""some calls name people, and answer callers with the key alone"""
TRIES = 10
"""times that an answer is asked for whose person was not read in time: the machine is busy with training data"""
PAGES, EACH, NEW_MODEL_AT = 10, 20, 4


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home and ports of its own."""
    return {
        **os.environ,
        "FRESHET_HOME": str(tmp_path_factory.mktemp("demo")),
        "FRESHET_API_KEY": KEY,
        **{f"FRESHET_{name.upper()}": str(p) for name, p in free_ports().items()},
    }


@pytest.fixture(scope="module")
def demo(environment: Mapping[str, str]) -> Iterator[httpx.Client]:
    """`freshet demo` and what docs/answers.md adds, once the job has read everything."""
    try:
        freshet(environment, "demo")
        address = f"127.0.0.1:{environment['FRESHET_HTTP_PORT']}"
        add_what_the_docs_add(Path(environment["FRESHET_HOME"]), address)
        with httpx.Client(
            base_url=f"http://{address}", headers={"X-API-Key": KEY}, timeout=30, trust_env=False
        ) as client:
            wait_until_read(client)
            yield client
    finally:
        subprocess.run([sys.executable, "-m", "freshet.cli", "down"], env=environment, capture_output=True, timeout=120)


def freshet(environment: Mapping[str, str], *words: str) -> None:
    command = [sys.executable, "-m", "freshet.cli", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def add_what_the_docs_add(home: Path, address: str) -> None:
    """Runs the commands of docs/answers.md, other than `make`."""
    (home / ".curlrc").write_text(f'header = "X-API-Key: {KEY}"\nnoproxy = "*"\nfail\n')
    (block,) = re.findall(r"```sh\n(.*?)```", (DOCS / "answers.md").read_text(), re.DOTALL)
    script = f"set -e\nmake() {{ :; }}\n{block.replace('localhost:8000', address)}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "CURL_HOME": str(home)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"rejected":[]') == done.stdout.count('"accepted"') > 100, done.stdout


def wait_until_read(client: httpx.Client) -> None:
    """Events of docs/answers.md are the last ones of the log: where they are in force, everything before is."""
    deadline, earlier = time.monotonic() + DEADLINE_S, None
    while time.monotonic() < deadline:
        last = [client.get(f"/v1/users/{user}/features").raise_for_status().json()["freshness"] for user in PEOPLE]
        near = client.get("/v1/users/anna/similar-users", params={"n": 50}).raise_for_status().json()
        fast = client.get("/v1/trending", params={"by": "velocity"}).raise_for_status().json()["items"]
        brands = client.get("/v1/trending/brands", params={"by": "velocity", "region": "DE"}).json()["brands"]
        together = client.get("/v1/items/50/bought-together").raise_for_status().json()
        liked = client.get("/v1/users/anna/feed", params={"surface": "people_like_you", "dry_run": "true"}).json()
        now = [near["people"], [each["item_id"] for each in fast], [each["item_id"] for each in together["items"]]]
        if (
            all(each["last_event_at"] for each in last)
            and "ben" in [each["user_id"] for each in near["users"]]
            and any(each["reason"]["code"] == "liked_by_people_like_you" for each in liked["items"])
            and "oppenheimer" in [each["item_id"] for each in fast]
            and brands
            and not together["degraded"]
            and now == earlier
        ):
            return
        earlier = now
        time.sleep(3)
    raise AssertionError("the job did not read MovieLens-100K and the events of the docs in time")


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[Call, Any]]:
    """The answers to calls of the docs; they are written into the docs where that is what the run is for."""
    found: dict[Call, Any] = {}
    yield found
    if WRITES:
        for page in DOCS.glob("*.md"):
            page.write_text(rewritten(page.stem, page.read_text(), found))


@pytest.fixture(scope="module")
def tokens() -> dict[str, str]:
    """page → the token of its last receipt"""
    return {}


def click(client: httpx.Client, user: str, item: str) -> str:
    event = {"event_id": uuid.uuid4().hex, "event_type": "click", "user_id": user, "item_id": item}
    receipt = client.post("/v1/events", json={**event, "timestamp": now_ms()}).raise_for_status().json()
    return str(receipt["token"])


def now_in(body: str) -> str:
    """The events of a body as if the last of them were of now."""
    times = [datetime.fromisoformat(text) for text in re.findall(r'"timestamp": "([^"]+)"', body)]
    later = datetime.now(UTC) - max(times) if times else None
    for at in times:
        assert later is not None
        body = body.replace(at.strftime("%Y-%m-%dT%H:%M:%SZ"), (at + later).isoformat())
    return body


def token_of(client: httpx.Client, page: str, tokens: dict[str, str]) -> str:
    """The token of the page's last receipt; where none of its events has been sent, that of the first that it sends."""
    if page not in tokens:
        call = next(each for each in calls() if each.page == page and each.path == "/v1/events" and each.body)
        tokens[page] = asked(client, call, tokens).raise_for_status().json()["token"]
    return tokens[page]


def asked(client: httpx.Client, call: Call, tokens: dict[str, str]) -> httpx.Response:
    path = call.path
    if "CURSOR" in path:
        first = path.replace("&next=CURSOR", "").replace("?next=CURSOR", "")
        path = path.replace("CURSOR", client.get(first).raise_for_status().json()["next"])
    if "TOKEN" in path:
        path = path.replace("TOKEN", token_of(client, call.page, tokens))
    content = None if call.body is None else now_in(call.body)
    for _ in range(TRIES):
        answer = client.request(call.method, path, content=content, headers={"Content-Type": "application/json"})
        if "hydrate" not in str(answer.json().get("degraded")):
            break
        time.sleep(1)
    return answer


@pytest.mark.parametrize(
    "call",
    [call for call in calls() if call.path.startswith("/v1/") and not any(each in call.path for each in LEFT_OUT)],
    ids=lambda call: f"{call.page} {call.method} {call.path}"[:90],
)
def test_every_call_of_the_docs_is_answered_as_the_docs_say(
    demo: httpx.Client, answers: dict[Call, Any], tokens: dict[str, str], call: Call
) -> None:
    answer = asked(demo, call, tokens)
    body = answer.json()
    assert answer.status_code in (200, 202) or (answer.status_code == 422 and call.printed is not None), answer.text
    if "token" in body:
        tokens[call.page] = body["token"]
    if call.printed is not None and not WRITES:
        assert differences(call.printed_value, body) == []
    said = [body[name] for name in FOUND if name in body]
    assert body.get("degraded", []) == []
    assert any(said) or call.path in MAY_BE_EMPTY or not said, body
    for each in body.get("answers", ()):
        assert each["status"] == 200
        assert any(each["body"].get(name) for name in FOUND), each
    if call.printed is not None:
        answers[call] = body  # what fails is not written


def test_every_surface_is_among_the_calls(demo: httpx.Client, tokens: dict[str, str]) -> None:
    said = [call for call in calls() if call.page == "surfaces" and call.printed is not None]
    answered = {asked(demo, call, tokens).raise_for_status().json()["surface"] for call in said}
    assert answered == {surface.name for surface in SURFACES}


def test_pages_never_repeat_and_miss_nothing_while_clicks_items_and_a_model_come(
    demo: httpx.Client, environment: Mapping[str, str]
) -> None:
    user = "279"
    whole = demo.get(f"/v1/users/{user}/feed", params={"n": PAGES * EACH, "dry_run": "true"}).raise_for_status().json()
    query: dict[str, Any] = {"n": EACH}
    shown: list[str] = []
    models: list[str] = []
    for number in range(PAGES):
        page = demo.get(f"/v1/users/{user}/feed", params=query).raise_for_status().json()
        shown += [entry["item_id"] for entry in page["items"]]
        models.append(page["model_version"])
        token = click(demo, user, shown[-1])
        new = {"item_id": f"paged-{number}", "title": f"New {number}", "categories": ["drama"], "created_at": now_ms()}
        demo.post("/v1/items", json=new).raise_for_status()
        if number == NEW_MODEL_AT:
            train_another(demo, environment, models[-1])
        if page["next"] is None:
            break
        query = {"n": EACH, "next": page["next"], "after": token}
    assert len(shown) == len(set(shown)) == PAGES * EACH
    expected = {entry["item_id"] for entry in whole["items"]}
    assert expected - set(shown) == set()
    assert len(set(models)) == 2
    assert models == sorted(models), "one model first, then the other"


def train_another(client: httpx.Client, environment: Mapping[str, str], before: str) -> None:
    """Trains on all that has happened by now, and waits until the server has the model in force."""
    freshet(environment, "train", "--seed", "1")
    deadline = time.monotonic() + 60
    while client.get("/readyz").json()["model_version"] == before:
        assert time.monotonic() < deadline, "the new model did not come into force"
        time.sleep(0.5)
