"""Receipts are for what is stored; whatever is not taken is named with its place, field and reason."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import Impression, Interaction, Item, User
from serving.ingest import LARGEST
from serving.tokens import Token
from tests.serving.made import Api

MINUTE = 60_000
JSON = {"Content-Type": "application/json"}


def event(event_id: str = "e1", **others: Any) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {"event_id": event_id, "event_type": "click", "user_id": "u1", "item_id": "i1", "timestamp": now, **others}


def stored(api: Api) -> list[str]:
    return [e.event_id for _, e in api.log.stored if isinstance(e, Interaction)]


# -- what is taken ---------------------------------------------------------------------------------


def test_one_event(api: Api) -> None:
    answer = api.post("/v1/events", event())
    assert answer.status_code == 202
    receipt = answer.json()
    assert (receipt["accepted"], receipt["rejected"]) == (1, [])
    ((place, _),) = api.log.stored
    token = Token.decode(receipt["token"])
    assert token.issuer == api.services.issuer
    assert list(token.wanted("u1")) == [("interactions", place.partition, place.offset)]


@pytest.mark.parametrize(
    ("path", "document", "kind"),
    [
        ("/v1/items", {"item_id": "i1", "price": 2, "created_at": "1985-01-01"}, Item),
        ("/v1/users", {"user_id": "u1", "interests": ["comedy"]}, User),
        (
            "/v1/impressions",
            {"request_id": "r1", "user_id": "u1", "timestamp": "2026-01-01T10:00:00Z", "items": ["i1"]},
            Impression,
        ),
    ],
)
def test_each_topic_has_its_endpoint(api: Api, path: str, document: dict[str, Any], kind: type) -> None:
    assert api.post(path, document).json()["accepted"] == 1
    ((_, found),) = api.log.stored
    assert isinstance(found, kind)


@pytest.mark.parametrize("n", [1, 16, 17, 1000])
def test_a_list_keeps_its_order(api: Api, n: int) -> None:
    assert api.post("/v1/events", [event(f"e{k}") for k in range(n)]).json()["accepted"] == n
    assert stored(api) == [f"e{k}" for k in range(n)]


def test_own_events_are_remembered_for_the_next_feed(api: Api) -> None:
    api.post("/v1/events", event())
    assert api.services.own.covers("u1", None)


# -- what is not -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"event_type": "clik"}, "event_type", "invalid"),
        ({"event_id": ""}, "event_id", "invalid"),
        ({"event_id": "x" * 257}, "event_id", "invalid"),
        ({"user_id": 7}, "user_id", "invalid"),
        ({"user_id": ...}, "user_id", "invalid"),
        ({"item_id": None}, "item_id", "invalid"),
        ({"colour": "red"}, "colour", "invalid"),
        ({"timestamp": "yesterday"}, "timestamp", "invalid"),
        ({"timestamp": 1_767_225_600}, "timestamp", "invalid"),
        ({"timestamp": int(time.time() * 1000) + 600 * MINUTE}, "timestamp", "too_far_in_future"),
        ({"properties": {"price": "9.99"}}, "properties.price", "invalid"),
        ({"properties": {"price": -5}}, "properties.price", "invalid"),
        ({"properties": {"rating": 99}}, "properties.rating", "invalid"),
        ({"properties": {"quantity": -1}}, "properties.quantity", "invalid"),
        ({"user_id": "a\nb"}, "user_id", "invalid"),
        ({"properties": []}, "properties", "invalid"),
    ],
)
def test_a_bad_event_among_good_ones_is_named(api: Api, change: dict[str, Any], field: str, reason: str) -> None:
    bad = {name: value for name, value in (event() | change).items() if value is not ...}
    answer = api.post("/v1/events", [event("a"), bad, event("b")])
    assert answer.status_code == 202
    (rejection,) = answer.json()["rejected"]
    assert (rejection["index"], rejection["field"], rejection["reason"]) == (1, field, reason)
    assert rejection["detail"]
    assert stored(api) == ["a", "b"]


def test_where_none_can_be_taken_the_answer_is_a_problem_that_names_each(api: Api) -> None:
    answer = api.post("/v1/events", [event(user_id=7), 5, event(colour="red")])
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert [(e.get("index"), e["name"]) for e in errors] == [(0, "user_id"), (1, "body"), (2, "colour")]
    assert api.log.stored == []


@pytest.mark.parametrize("body", [b"", b"{", b"[{]", b"nonsense", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_is_a_bad_request(api: Api, body: bytes) -> None:
    answer = api.ask("POST", "/v1/events", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-request")


@pytest.mark.parametrize("body", [b"[]", b"[" + b",".join([b"{}"] * 1001) + b"]", b"7", b'"text"', b"null"])
def test_a_list_holds_1_to_1000_events(api: Api, body: bytes) -> None:
    answer = api.ask("POST", "/v1/events", content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "body"


def test_there_are_no_parameters(api: Api) -> None:
    answer = api.ask("POST", "/v1/events?wait=true", json=event())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "wait"
    assert api.log.stored == []


# -- a limit to the body ---------------------------------------------------------------------------


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path, body_limit=2048)
    yield api
    api.close()


def test_a_declared_length_over_the_limit_is_refused_unread(narrow: Api) -> None:
    async def endless() -> Any:
        raise AssertionError("it was read")
        yield b""

    answer = narrow.ask("POST", "/v1/events", content=endless(), headers=JSON | {"Content-Length": "2049"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")
    assert "2048" in answer.json()["detail"]


def test_a_body_without_a_length_is_read_up_to_the_limit(narrow: Api) -> None:
    async def chunks(n: int) -> Any:
        yield msgspec.json.encode(event())
        yield b" " * n

    assert narrow.ask("POST", "/v1/events", content=chunks(3000), headers=JSON).status_code == 413
    assert narrow.ask("POST", "/v1/events", content=chunks(100), headers=JSON).status_code == 202


@pytest.mark.parametrize("length", ["-1", "many", "1e3", "²"])
def test_a_length_that_is_none_is_refused(narrow: Api, length: str) -> None:
    headers = [(b"content-length", length.encode()), (b"content-type", b"application/json")]
    assert narrow.ask("POST", "/v1/events", content=b"{}", headers=headers).status_code == 413


@pytest.mark.parametrize("size", [900_000, 1_040_000])
def test_an_event_that_kafka_would_not_take_is_named(api: Api, size: int) -> None:
    lists = {f"list {k}": ["x" * 512] * 100 for k in range(size // (100 * 515))}
    answer = api.post("/v1/items", [{"item_id": "i1", "attributes": lists}, {"item_id": "i2"}])
    assert answer.status_code == 202
    taken = [e.item_id for _, e in api.log.stored if isinstance(e, Item)]
    assert taken == (["i1", "i2"] if size < LARGEST else ["i2"])
    assert len(answer.json()["rejected"]) == 2 - len(taken)


# -- Kafka does not acknowledge --------------------------------------------------------------------


def test_while_kafka_is_away_nothing_is_claimed(api: Api) -> None:
    api.log.away = True
    answer = api.post("/v1/events", [event("a"), event("b")])
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "token" not in answer.json()
    assert not api.services.own.covers("u1", None)


def test_what_kafka_has_not_acknowledged_is_rejected_among_the_rest(api: Api) -> None:
    api.log.unacknowledged = {"b"}
    receipt = api.post("/v1/events", [event("a"), event(user_id=7), event("b"), event("c")]).json()
    assert receipt["accepted"] == 2
    assert [(r["index"], r["reason"]) for r in receipt["rejected"]] == [(1, "invalid"), (2, "not_stored")]
    assert stored(api) == ["a", "c"]


def counted(api: Api) -> dict[str, float]:
    """What became of interactions → how many, as /metrics says."""
    found: dict[str, float] = {}
    for line in api.get("/metrics").text.splitlines():
        if line.startswith("freshet_events_total{") and 'topic="interactions"' in line:
            result = line.split('result="')[1].split('"')[0]
            found[result] = float(line.rsplit(" ", 1)[1])
    return found


def test_events_are_counted_by_what_became_of_them(api: Api) -> None:
    before = counted(api)
    api.log.unacknowledged = {"b"}
    api.post("/v1/events", [event("a"), event(user_id=7), event("b"), event("c")])
    more = {result: n - before.get(result, 0.0) for result, n in counted(api).items()}
    assert {result: n for result, n in more.items() if n} == {"accepted": 2, "rejected": 1, "not_stored": 1}


# -- what is logged of a list ----------------------------------------------------------------------

SHOWN = {"request_id": "r1", "user_id": "u1", "timestamp": 1_767_225_600_000, "items": ["i1", "i2"]}


def test_an_app_may_say_what_its_own_list_was_made_of(api: Api) -> None:
    features = {"features": "AACAPwAAAEA=", "model_version": "v1"}
    assert api.post("/v1/impressions", SHOWN | features | {"propensities": [0.5, 1]}).status_code == 202
    ((_, shown),) = api.log.stored
    assert isinstance(shown, Impression)
    assert (shown.features, shown.propensities) == (struct.pack("<2f", 1.0, 2.0), [0.5, 1.0])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"propensities": [0.5]}, "propensities"),
        ({"propensities": [0.5, 2]}, "propensities[1]"),
        ({"propensities": [0.5, 0]}, "propensities[1]"),
        ({"features": "AAAA", "model_version": "v1"}, "features"),
        ({"features": "not base64", "model_version": "v1"}, "features"),
        ({"features": "AACAPwAAAEA="}, "model_version"),
        ({"features": "AACAPwAAAEA=", "model_version": "v1", "applied_offset": 7}, "applied_offset"),
        ({"applied_offset": -1}, "applied_offset"),
        ({"own_offsets": []}, "own_offsets"),
    ],
)
def test_what_does_not_fit_its_list_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api.post("/v1/impressions", SHOWN | change)
    assert answer.status_code == 422
    assert [fault["name"] for fault in answer.json()["errors"]] == [field]
