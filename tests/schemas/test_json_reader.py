"""The JSON that people write: read strictly, times in several forms, every refusal named."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import json_reader
from schemas.errors import EventError, InvalidEvent, Undecodable
from schemas.events import Event, Interaction, Item
from schemas.topics import EVENT_TOPICS, topic_of
from tests.schemas import strategies

T0 = 1_767_225_600_000
CLICK: dict[str, Any] = {
    "event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i9",
    "timestamp": "2026-01-01T00:00:00Z", "session_id": "s1",
    "properties": {"surface": "home", "region": "DE", "device": "ios"},
}  # fmt: skip


def refused(topic: str, document: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as raised:
        json_reader.parse(topic, document)
    return raised.value


def test_the_documented_example() -> None:
    found = json_reader.loads("interactions", json.dumps(CLICK))
    assert found == Interaction("e1", "click", "u1", T0, "i9", "s1", properties=CLICK["properties"])


@given(strategies.events)
def test_what_is_written_as_json_is_read_as_it_was(event: Event) -> None:
    assert json_reader.loads(topic_of(event), msgspec.json.encode(event)) == event


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (T0, T0),
        (float(T0), T0),
        ("2026-01-01T00:00:00Z", T0),
        ("2026-01-01T00:00:00", T0),
        ("2026-01-01 00:00:00", T0),
        ("2026-01-01", T0),
        ("20260101", T0),
        ("20260101T000000Z", T0),
        ("2026-01-01T01:00:00+01:00", T0),
        ("2025-12-31T18:30:00-0530", T0),
        ("2026-01-01T00:00:00.123Z", T0 + 123),
        ("2026-01-01T00:00:00.123456789Z", T0 + 123),
    ],
)
def test_forms_of_a_time(time: Any, expected: int) -> None:
    assert json_reader.parse("interactions", CLICK | {"timestamp": time}).timestamp == expected
    assert json_reader.parse("items", {"item_id": "i1", "created_at": time}).created_at == expected


@given(
    at=st.integers(T0 - 10**12, T0 + 10**12), offset=st.integers(-14 * 60, 14 * 60).map(lambda m: timedelta(minutes=m))
)
def test_an_instant_is_the_same_in_every_time_zone(at: int, offset: timedelta) -> None:
    moment = datetime.fromtimestamp(at // 1000, UTC) + timedelta(milliseconds=at % 1000)
    written = moment.astimezone(timezone(offset)).isoformat()
    assert json_reader.parse("items", {"item_id": "i1", "created_at": written}).created_at == at


@pytest.mark.parametrize(
    "time",
    ["", "yesterday", "2026-13-01", "2026-01-32T00:00:00Z", "10:00", "1767225600000", "1711121500000", "1767225600",
     "2026-01-01T00:00:00+99:00", "0001-01-01T00:00:00+14:00Z"],
)  # fmt: skip
@pytest.mark.parametrize(("topic", "field"), [("interactions", "timestamp"), ("items", "created_at")])
def test_what_is_no_time(topic: str, field: str, time: str) -> None:
    base = CLICK if topic == "interactions" else {"item_id": "i1"}
    error = refused(topic, base | {field: time})
    assert error.field == field
    assert error.detail.startswith("must be ISO 8601 or epoch milliseconds")


@pytest.mark.parametrize("time", [T0 // 1000, T0 / 1000, True, None, [T0], {"ms": T0}, "1989-12-31T23:59:59Z"])
def test_a_time_in_seconds_or_of_another_type_names_timestamp(time: Any) -> None:
    assert refused("interactions", CLICK | {"timestamp": time}).field == "timestamp"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"Timestamp": T0}, "Timestamp"),
        ({"event_type": "clik"}, "event_type"),
        ({"item_id": 9}, "item_id"),
        ({"item_id": None}, "item_id"),
        ({"user_id": "x" * 257}, "user_id"),
        ({"properties": {"price": math.nan}}, "properties.price"),
        ({"properties": {"price": True}}, "properties.price"),
        ({"properties": {"query": "q" * 3000}}, "properties.query"),
        ({"properties": {"query": None}}, "properties.query"),
        ({"properties": {"tags": ["a"]}}, "properties.tags"),
        ({"properties": "home"}, "properties"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], field: str) -> None:
    assert refused("interactions", CLICK | change).field == field


def test_a_missing_field_is_named() -> None:
    error = refused("interactions", {k: v for k, v in CLICK.items() if k != "user_id"})
    assert (error.field, error.detail) == ("user_id", "is required")


@pytest.mark.parametrize("topic", EVENT_TOPICS)
@pytest.mark.parametrize("document", [[], [CLICK], "click", 5, None, True])
def test_an_event_is_an_object(topic: str, document: Any) -> None:
    error = refused(topic, document)
    assert (error.field, error.detail) == ("", "an event is a JSON object")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"nonsense", b'{"a": 1} {"b": 2}', b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\xff"}',
     b'{"a": "\\ud800"}', b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_json(text: bytes) -> None:
    with pytest.raises(Undecodable, match="not JSON") as raised:
        json_reader.loads("interactions", text)
    assert type(raised.value) is Undecodable


def test_a_number_beyond_every_limit_is_named() -> None:
    text = json.dumps(CLICK)[:-2] + f', "n": 1{"0" * 400}}}}}'
    with pytest.raises(InvalidEvent) as raised:
        json_reader.loads("interactions", text)
    assert raised.value.field == "properties.n"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


FIT_TOGETHER = {("event_type", "item_id"), ("explored", "contexts")} | {
    ("items", name) for name in ("propensities", "images", "explored", "features", "contexts")
}
"""(the field that was changed, the field that is named)"""


@given(topic=st.sampled_from(EVENT_TOPICS), data=st.data())
def test_any_value_in_any_field_gives_an_event_or_names_a_field(topic: str, data: st.DataObject) -> None:
    event = data.draw(strategies.OF_TOPIC[topic])
    document = msgspec.to_builtins(event)
    name = data.draw(st.sampled_from([*document, "unknown"]))
    document[name] = data.draw(json_values)
    try:
        json_reader.parse(topic, document)
    except EventError as error:
        # Of two fields that have to fit together one is named, whichever of them was changed.
        named = error.field == name or error.field.startswith((f"{name}.", f"{name}["))
        assert named or (name, error.field) in FIT_TOGETHER  # noqa: PT017 (either outcome is right)


def test_the_document_is_left_as_it_was() -> None:
    document = dict(CLICK)
    json_reader.parse("interactions", document)
    assert document == CLICK
    assert json_reader.parse("items", {"item_id": "i1"}) == Item("i1")
