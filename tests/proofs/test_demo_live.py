"""The calls in the docs, and pages of a feed, on the whole stack with MovieLens-100K."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from freshet.local.ports import free_ports
from recommend.surfaces import SURFACES
from schemas.clock import now_ms

pytestmark = pytest.mark.proof

DOCS = Path(__file__).parents[2] / "docs"
ABOUT = {"u1": "196", "i1": "50", "i2": "181", "i3": "1"}
"""ids of the docs' made-up worlds → ids of MovieLens"""
LEFT_OUT = ("bargains", "items/i9", "rules/summer")
"""surfaces and items that the reader is to make first"""
MAY_BE_EMPTY = {
    "/v1/users/u1/again?n=10", "/v1/users/u1/again?filter=item.price%20%3C%2020", "/v1/trending?by=velocity&n=5",
    "/v1/trending?by=velocity&region=DE&category=comedy", "/v1/trending/brands?by=velocity&region=DE",
    "/v1/trending?min_score=0.001&n=5", "/v1/items/50/users?n=5",
    "/v1/users/u1/page?filter=item.price%20%3C%2020&exclude=i1,i2&explain=full&dry_run=true",
}  # fmt: skip
"""MovieLens has no purchases, brands or prices, nothing of it is of today, and whom film 50 suits has met it"""
FOUND = ("items", "rows", "recent", "again", "categories", "brands", "users", "answers")
"""what an answer is a list of"""
WITHOUT_BASKETS = ("bought-together", "/cart")
"""similar items stand in, and the answer says so"""
DEADLINE_S = 240.0
KEY = "of-the-demo-alone"
"""some calls name people, and answer callers with the key alone"""
PAGES, EACH = 10, 20


class Call(NamedTuple):
    page: str
    method: str
    path: str
    body: str | None


def calls() -> list[Call]:
    """Every call of the docs that reads, by a `curl` in a block of shell."""
    found = []
    for page in sorted(DOCS.glob("*.md")):
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            words = shlex.split(block.replace("\\\n", " "), comments=True)
            starts = [k for k, word in enumerate(words) if word == "curl"]
            ends = [*starts[1:], len(words)]
            found += [_call(page.stem, words[start:end]) for start, end in zip(starts, ends, strict=False)]
    reads = [
        call for call in found if call.method == "GET" or call.path.startswith(("/v1/cart", "/v1/rank", "/v1/batch"))
    ]
    return [call for call in reads if call.path.startswith("/v1/") and not any(each in call.path for each in LEFT_OUT)]


def _call(page: str, words: list[str]) -> Call:
    path = next(word for word in words if "localhost:8000" in word).split("localhost:8000", 1)[1]
    body = words[words.index("-d") + 1] if "-d" in words else None
    return Call(page, words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET", path, body)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """`freshet demo` on a home and ports of its own, once the job has read everything."""
    ports = free_ports()
    home = tmp_path_factory.mktemp("demo")
    env = {
        **os.environ,
        "FRESHET_HOME": str(home),
        "FRESHET_API_KEY": KEY,
        **{f"FRESHET_{name.upper()}": str(p) for name, p in ports.items()},
    }
    command = [sys.executable, "-m", "freshet.cli"]
    try:
        done = subprocess.run([*command, "demo"], env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        with httpx.Client(
            base_url=f"http://127.0.0.1:{ports['http_port']}", headers={"X-API-Key": KEY}, timeout=30, trust_env=False
        ) as client:
            wait_until_read(client)
            yield client
    finally:
        subprocess.run([*command, "down"], env=env, capture_output=True, timeout=120)


def wait_until_read(client: httpx.Client) -> None:
    deadline, earlier = time.monotonic() + DEADLINE_S, list[Any]()
    while time.monotonic() < deadline:
        found = client.get("/v1/trending", params={"n": 50, "dry_run": "true"}).raise_for_status().json()["items"]
        last = client.get("/v1/users/196/features").raise_for_status().json()["freshness"]["last_event_at"]
        near = client.get("/v1/users/196/similar-users").raise_for_status().json()["users"]
        if last and near and earlier == found:
            return
        earlier = found
        time.sleep(3)
    raise AssertionError("the job did not read MovieLens-100K in time")


def click(client: httpx.Client, user: str, item: str) -> str:
    event = {"event_id": uuid.uuid4().hex, "event_type": "click", "user_id": user, "item_id": item}
    receipt = client.post("/v1/events", json={**event, "timestamp": now_ms()}).raise_for_status().json()
    return str(receipt["token"])


def send(client: httpx.Client, method: str, path: str, body: str | None) -> httpx.Response:
    content = None if body is None else real(body)
    return client.request(method, path, content=content, headers={"Content-Type": "application/json"})


def real(text: str) -> str:
    return re.sub(r"\b(u1|i[123])\b", lambda found: ABOUT[found[0]], text)


@pytest.mark.parametrize("call", calls(), ids=lambda call: f"{call.page} {call.method} {call.path}"[:90])
def test_every_call_of_the_docs_is_answered(demo: httpx.Client, call: Call) -> None:
    path = real(call.path)
    if "CURSOR" in path:
        first = path.replace("&next=CURSOR", "").replace("?next=CURSOR", "")
        path = path.replace("CURSOR", demo.get(first).raise_for_status().json()["next"])
    if "TOKEN" in path:
        path = path.replace("TOKEN", click(demo, "196", "121"))
    answer = send(demo, call.method, path, call.body)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.get("degraded", []) == ["retrieve"] * any(each in path for each in WITHOUT_BASKETS)
    assert any(body.get(name) for name in FOUND) or call.path in MAY_BE_EMPTY, body
    for each in body.get("answers", ()):
        assert each["status"] == 200
        assert any(each["body"].get(name) for name in FOUND), each


def test_every_surface_is_among_the_calls(demo: httpx.Client) -> None:
    said = [call for call in calls() if call.page == "surfaces"]
    answered = set()
    for call in said:
        answer = send(demo, call.method, real(call.path), call.body)
        answered.add(answer.raise_for_status().json()["surface"])
    assert answered >= {surface.name for surface in SURFACES}


def test_pages_never_repeat_and_miss_nothing_while_clicks_and_items_go_on(demo: httpx.Client) -> None:
    user = "279"
    whole = demo.get(f"/v1/users/{user}/feed", params={"n": PAGES * EACH, "dry_run": "true"}).raise_for_status().json()
    query: dict[str, Any] = {"n": EACH}
    shown: list[str] = []
    for number in range(PAGES):
        page = demo.get(f"/v1/users/{user}/feed", params=query).raise_for_status().json()
        shown += [entry["item_id"] for entry in page["items"]]
        token = click(demo, user, shown[-1])
        new = {"item_id": f"paged-{number}", "title": f"New {number}", "categories": ["drama"], "created_at": now_ms()}
        demo.post("/v1/items", json=new).raise_for_status()
        if page["next"] is None:
            break
        query = {"n": EACH, "next": page["next"], "after": token}
    assert len(shown) == len(set(shown)) == PAGES * EACH
    expected = {entry["item_id"] for entry in whole["items"]}
    assert expected - set(shown) == set()
