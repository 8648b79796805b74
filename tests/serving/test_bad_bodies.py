"""10,000 broken events and bodies over HTTP, among good ones: each is refused by its name, never with a server error,
and every good event has a receipt and is in Kafka."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import httpx
import pytest

from follow import to_end
from schemas import codec
from schemas.topics import INTERACTIONS
from serving.tokens import Token
from tests.live import Live, until
from tests.serving import bodies

JSON = {"Content-Type": "application/json"}
LISTS, IN_EACH, GOOD_IN_EACH = 90, 100, 10
WHOLE, FLIPPED = 500, 500

OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("items", {"item_id": 5}, "item_id"),
    ("items", {"item_id": "bad", "price": -1}, "price"),
    ("items", {"item_id": "bad", "price": "9.99"}, "price"),
    ("items", {"item_id": "bad", "title": "t" * 8193}, "title"),
    ("items", {"item_id": "bad", "created_at": "long ago"}, "created_at"),
    ("items", {"item_id": "bad", "available": "yes"}, "available"),
    ("items", {"item_id": "bad", "categories": "comedy"}, "categories"),
    ("items", {"item_id": "bad", "categories": ["comedy", 7]}, "categories[1]"),
    ("items", {"item_id": "bad", "attributes": {"actors": ["a", 7]}}, "attributes.actors[1]"),
    ("items", {"item_id": "bad", "colour": "red"}, "colour"),
    ("users", {"user_id": ""}, "user_id"),
    ("users", {"user_id": "bad", "interests": ["x"] * 65}, "interests"),
    ("users", {"user_id": "bad", "consent": 1}, "consent"),
    ("users", {"user_id": "bad", "attributes": {"age": {"years": 30}}}, "attributes.age"),
    ("users", {"item_id": "i1"}, "item_id"),
    ("impressions", {"request_id": "r", "user_id": "bad", "timestamp": 1, "items": ["i1"]}, "timestamp"),
    ("impressions", {"request_id": "r", "user_id": "bad", "timestamp": "2026-01-01", "items": []}, "items"),
    ("impressions", {"request_id": "r", "user_id": "bad", "timestamp": "2026-01-01"}, "items"),
    ("impressions", {"request_id": "r", "user_id": "bad", "timestamp": "2099-01-01", "items": ["i1"]}, "timestamp"),
]


def stored(live: Live) -> Counter[str]:
    """The ids of interactions that Kafka holds."""
    messages = to_end.read(live.stack.settings.connection, [INTERACTIONS])
    return Counter(codec.decode(INTERACTIONS, message.value or b"").event_id for message in messages)


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem that the answer must be."""
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert answer.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == answer.status_code
    assert found["type"].startswith("/problems/")
    assert found["detail"]
    return found


def test_every_broken_body_is_named_and_every_good_event_is_stored(live: Live) -> None:
    rng, http = random.Random(17), live.http
    before, claimed, total = stored(live), Counter[str](), 0

    def post_list(number: int) -> int:
        broken = [bodies.bad(rng, number * IN_EACH + n) for n in range(IN_EACH)]
        # A good one in five is the repetition of an earlier one: it is stored, and the job counts it once.
        goods = [bodies.good(f"good-{number}-{n // 5 * 5 if n % 5 == 4 else n}", "fuzzed") for n in range(GOOD_IN_EACH)]
        mixed: list[Any] = [*broken, *goods]
        rng.shuffle(mixed)
        documents = [found.document if isinstance(found, bodies.Bad) else found for found in mixed]
        receipt = live.post("events", documents)
        rejected = {r["index"]: r for r in receipt["rejected"]}
        for index, found in enumerate(mixed):
            if isinstance(found, bodies.Bad):
                assert rejected[index]["field"] == found.field, (found, rejected[index])
                assert rejected[index]["reason"] in ("invalid", "too_far_in_future")
                assert rejected[index]["detail"]
            else:
                assert index not in rejected
        assert receipt["accepted"] == GOOD_IN_EACH
        assert Token.decode(receipt["token"]).places.keys() == {INTERACTIONS}
        claimed.update(good["event_id"] for good in goods)
        return GOOD_IN_EACH

    def post_whole(kind: str) -> None:
        assert problem(http.post("/v1/events", content=bodies.WHOLE[kind](rng), headers=JSON)), kind

    def post_flipped(number: int) -> int:
        answer = http.post("/v1/events", content=bodies.flipped(rng, number), headers=JSON)
        if answer.status_code == 202:
            assert answer.json()["accepted"] == 1
            return 1
        problem(answer)
        return 0

    for number in range(LISTS):
        total += post_list(number)
        for _ in range(WHOLE // LISTS + 1):
            post_whole(rng.choice(list(bodies.WHOLE)))
    total += sum(post_flipped(number) for number in range(FLIPPED))
    for kind in bodies.WHOLE:
        post_whole(kind)

    found = stored(live) - before
    assert found.total() == total, "nothing is stored without a receipt"
    assert {event_id: found[event_id] for event_id in claimed} == dict(claimed)
    until(lambda: live.feed("fuzzed")["degraded"] == [])


@pytest.mark.parametrize(("endpoint", "document", "field"), OTHERS)
def test_every_endpoint_names_the_field(live: Live, endpoint: str, document: dict[str, Any], field: str) -> None:
    found = problem(live.http.post(f"/v1/{endpoint}", json=document))
    assert [error["name"] for error in found["errors"]] == [field]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(live: Live, chunked: bool) -> None:
    body = b" " * ((1 << 20) + 1)
    content = iter([body[:1000], body[1000:]]) if chunked else body
    assert problem(live.http.post("/v1/events", content=content, headers=JSON))["status"] == 413
    assert live.post("events", bodies.good(f"after-{chunked}", "fuzzed"))["accepted"] == 1


def test_a_type_that_says_otherwise_and_parameters(live: Live) -> None:
    form = {"event_id": "e1", "event_type": "click"}
    assert problem(live.http.post("/v1/events", data=form))["status"] == 415
    answer = live.http.post("/v1/events", params={"dry_run": "1"}, json=bodies.good("e1", "fuzzed"))
    assert [error["name"] for error in problem(answer)["errors"]] == ["dry_run"]
