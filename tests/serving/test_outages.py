"""Redis and Kafka go away under load and come back: feeds go on, and no receipt is for an event that is lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from follow import to_end
from follow.connection import Connection
from schemas import codec
from schemas.topics import INTERACTIONS
from serving.tokens import Token
from tests.live import Live, ids, until

AWAY_S = 30.0
PERSONAL = {"because_item", "because_category"}
BATCH = 5


@dataclass(frozen=True)
class Asked:
    """One feed under load: when it was asked for and answered, and what came."""

    began: float
    ended: float
    status: int
    feed: dict[str, Any]


@contextmanager
def repeated(action: Callable[[httpx.Client], None], url: str, pause_s: float) -> Iterator[None]:
    """The action again and again in a thread of its own with a connection of its own. Raises what it raises."""
    over = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            try:
                while not over.wait(pause_s):
                    action(client)
            except BaseException as error:
                failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
        if failed:  # also where the block has failed, for that may be why
            raise failed[0]
    assert not thread.is_alive(), "an action goes on"


@contextmanager
def feeds_asked(url: str) -> Iterator[list[Asked]]:
    """Feeds of known people and of strangers, some thirty a second."""
    asked: list[Asked] = []

    def ask(client: httpx.Client) -> None:
        n = len(asked)
        user = f"u{n % 40}" if n % 4 else f"stranger-{n}"
        began = time.monotonic()
        answer = client.get(f"/v1/users/{user}/feed", params={"n": 10})
        asked.append(Asked(began, time.monotonic(), answer.status_code, answer.json()))

    with repeated(ask, url, 0.03):
        yield asked


def personal(live: Live, user: str) -> bool:
    """Whether the person's feed is whole and theirs."""
    feed = live.feed(user)
    reasons = {entry["reason"]["code"] for entry in feed["items"]}
    return feed["degraded"] == [] and bool(reasons & PERSONAL)


@contextmanager
def back_at_the_end(live: Live, name: str) -> Iterator[None]:
    """Whatever fails while a component is away, it is back for the tests that come later: they share the stack."""
    try:
        yield
    finally:
        live.stack.up([name])


def whole(asked: list[Asked]) -> float:
    """The share of feeds for which no stage fell back. On a busy machine a read of Redis now and then takes longer than
    its 50 ms, and the feeds of the next quarter of a second do without."""
    return sum(a.feed["degraded"] == [] for a in asked) / len(asked)


# -- Redis -----------------------------------------------------------------------------------------


def test_redis_is_away_for_30_seconds(live: Live) -> None:
    until(lambda: personal(live, "u1"))
    with feeds_asked(live.stack.settings.http_url) as asked, back_at_the_end(live, "redis"):
        until(lambda: len(asked) >= 20)
        live.stack.down(["redis"])
        gone = time.monotonic()
        clicked = ids(live.feed("u2"))[0]
        token = live.post("events", live.event("u2", "click", clicked))["token"]
        assert clicked not in ids(live.feed("u2", after=token))
        health = live.http.get("/readyz")
        missing = set(health.json()["degraded"])
        # The index of people is read from Redis now and then, and is missing too if that fell due while Redis is away.
        assert health.status_code == 200
        assert {"store"} <= missing <= {"store", "people"}
        time.sleep(max(0.0, AWAY_S - (time.monotonic() - gone)))
        returning = time.monotonic()
        live.stack.up(["redis"])
        until(lambda: personal(live, "u1"))
        back = time.monotonic()
        until(lambda: asked[-10].began > back and whole(asked[-10:]) == 1)
    assert {a.status for a in asked} == {200}
    assert min(len(a.feed["items"]) for a in asked) == 10
    during = [a for a in asked if a.began > gone and a.ended < returning]
    assert len(during) > 100
    assert {tuple(a.feed["degraded"]) for a in during} == {("hydrate",)}
    assert max(a.ended - a.began for a in during) < 2, "nobody waits for a store that is known to be away"
    # Kafka kept what happened in the meantime, and the job catches up.
    until(lambda: live.features("u2")["recent"][0]["item_id"] == clicked)
    until(lambda: live.written("u2"))
    assert clicked not in ids(live.whole_feed("u2"))


# -- Kafka -----------------------------------------------------------------------------------------


@dataclass
class Posts:
    """Events posted, five at a time, and what the server said of them."""

    claimed: list[tuple[list[str], Token]] = field(default_factory=list)
    """ids of one receipt, and its token"""
    refused: list[httpx.Response] = field(default_factory=list)

    def post(self, client: httpx.Client) -> None:
        now = int(time.time() * 1000)
        events = [
            {"event_id": uuid.uuid4().hex, "event_type": "view", "user_id": f"outage-{n}", "item_id": "i1",
             "timestamp": now} for n in range(BATCH)
        ]  # fmt: skip
        answer = client.post("/v1/events", json=events)
        if answer.status_code == 202:
            receipt = answer.json()
            assert {r["reason"] for r in receipt["rejected"]} <= {"not_stored"}
            lost = {r["index"] for r in receipt["rejected"]}
            stored = [event["event_id"] for n, event in enumerate(events) if n not in lost]
            assert receipt["accepted"] == len(stored) > 0
            self.claimed.append((stored, Token.decode(receipt["token"])))
        else:
            self.refused.append(answer)


def places(connection: Connection) -> dict[str, list[tuple[int, int]]]:
    """Event id → each place (partition, offset) where Kafka holds it."""
    found: dict[str, list[tuple[int, int]]] = {}
    for message in to_end.read(connection, [INTERACTIONS]):
        event = codec.decode(INTERACTIONS, message.value or b"")
        found.setdefault(event.event_id, []).append((message.partition, message.offset))
    return found


def test_kafka_is_killed_and_comes_back(live: Live) -> None:
    settings, posts = live.stack.settings, Posts()
    with (
        feeds_asked(settings.http_url) as asked,
        repeated(posts.post, settings.http_url, 0.02),
        back_at_the_end(live, "kafka"),
    ):
        until(lambda: len(posts.claimed) >= 20)
        live.stack.kill("kafka")
        until(lambda: len(posts.refused) >= 5)
        before, refused = len(posts.claimed), len(posts.refused)
        until(lambda: len(posts.refused) >= refused + 5)
        assert len(posts.claimed) == before, "nothing can be stored now"
        live.stack.up(["kafka"])
        until(lambda: len(posts.claimed) >= before + 20)
    for answer in posts.refused:
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"] == "/problems/unavailable"
    held = places(settings.connection)
    for stored, token in posts.claimed:
        assert [len(held.get(event_id, [])) for event_id in stored] == [1] * len(stored)
        expected = {(INTERACTIONS, *held[event_id][0]) for event_id in stored}
        assert {place for n in range(BATCH) for place in token.wanted(f"outage-{n}")} == expected
    assert {a.status for a in asked} == {200}
    assert min(len(a.feed["items"]) for a in asked) == 10
    assert {tuple(a.feed["degraded"]) for a in asked} <= {(), ("hydrate",)}
    assert whole(asked) > 0.9
    # The whole loop is there again.
    clicked = ids(live.feed("u6"))[0]
    live.post("events", live.event("u6", "click", clicked))
    until(lambda: live.features("u6")["recent"][0]["item_id"] == clicked)
    until(lambda: live.written("u6"))
