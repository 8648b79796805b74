"""The contract: what each field may be, and that a refusal names the field at fault."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas.errors import InvalidEvent
from schemas.events import EARLIEST_MS, Event, Impression, Interaction, Item, User, from_fields
from schemas.properties import NUMERIC_PROPERTIES
from schemas.topics import EVENT_TYPES_OF, topic_of
from tests.schemas import strategies

T0 = 1_767_225_600_000
SOUND: dict[type[Any], dict[str, Any]] = {
    Interaction: {"event_id": "e1", "event_type": "click", "user_id": "u1", "timestamp": T0, "item_id": "i1"},
    Item: {"item_id": "i1"},
    User: {"user_id": "u1"},
    Impression: {"request_id": "r1", "user_id": "u1", "timestamp": T0, "items": ["i1"]},
}
IDS = [(kind, name) for kind in SOUND for name in kind.__struct_fields__ if name.endswith("_id")]
IDS += [(Interaction, name) for name in ("event_id", "session_id", "request_id")]
BAD_VALUES: list[tuple[str, Any]] = [
    ("null", None), ("list", ["a"]), ("object", {"a": 1}), ("nan", math.nan), ("infinite", -math.inf),
    ("long text", "x" * 2049), ("beyond 64 bits", 2**63), ("far beyond", -(10**400)),
]  # fmt: skip


def refused(kind: type[Any], change: dict[str, Any]) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as raised:
        from_fields(kind, SOUND[kind] | change)
    assert raised.value.detail
    return raised.value


@pytest.mark.parametrize("kind", SOUND)
def test_the_least_that_is_asked(kind: type[Any]) -> None:
    assert from_fields(kind, SOUND[kind]) == kind(**SOUND[kind])


@given(strategies.events)
def test_what_the_contract_allows_is_taken(event: Event) -> None:
    assert from_fields(EVENT_TYPES_OF[topic_of(event)], structs.asdict(event)) == event


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, fields in SOUND.items() for name in fields])
def test_what_is_required_is_named_where_it_is_missing(kind: type[Any], name: str) -> None:
    with pytest.raises(InvalidEvent, match="is required") as raised:
        from_fields(kind, {k: v for k, v in SOUND[kind].items() if k != name})
    assert raised.value.field == name


@pytest.mark.parametrize("kind", SOUND)
@given(name=st.text(max_size=20))
def test_an_unknown_field_is_named_whatever_its_name(kind: type[Any], name: str) -> None:
    if name not in kind.__struct_fields__:
        error = refused(kind, {name: 1})
        assert (error.field, error.detail) == (name, "is not a field of this event")


@pytest.mark.parametrize("name", ["x - at `$.y`", "`", "[...]", "x[...]", "Object missing required field `x"])
def test_an_unknown_field_called_like_a_message(name: str) -> None:
    assert refused(Item, {name: 1}).field == name


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        *((Interaction, name, wrong) for name in ("event_id", "user_id", "item_id") for wrong in ("", 5, "x" * 257)),
        *((Interaction, "event_type", wrong) for wrong in ("clik", "", "CLICK", None, 3, "a - at `$.b`")),
        *((Interaction, "timestamp", wrong) for wrong in (True, 1.5, T0 / 1.0, math.nan, None, [T0], -1, 2**53 + 1)),
        *((kind, name, wrong) for kind, name in IDS for wrong in ("a\nb", "a\n", "\x00", "\t", "a\x7f", ".", "..")),
        (Item, "brand", "a\nb"),
        (Impression, "surface", "home\t"),
        (Interaction, "timestamp", T0 // 1000),
        (Interaction, "timestamp", EARLIEST_MS - 1),
        (Interaction, "session_id", ""),
        (Interaction, "request_id", 7),
        (Interaction, "properties", []),
        (Interaction, "properties", None),
        (Interaction, "properties", {f"p{n}": n for n in range(65)}),
        (Interaction, "properties", {"": 1}),
        (Interaction, "properties", {"x" * 257: 1}),
        (Item, "title", "x" * 8193),
        (Item, "categories", "comedy"),
        (Item, "categories", [f"c{n}" for n in range(65)]),
        (Item, "brand", ""),
        *((Item, "price", wrong) for wrong in (-0.01, "9.99", True, math.nan, math.inf, [1])),
        (Item, "created_at", 1.5),
        (Item, "available", 1),
        (Item, "attributes", 1),
        (User, "interests", {"comedy": 1}),
        (User, "consent", "yes"),
        (Impression, "items", []),
        (Impression, "items", "i1"),
        (Impression, "items", ["i"] * 1001),
        (Impression, "surface", ""),
        (Impression, "surface", None),
        (Impression, "region", 49),
    ],
)
def test_a_wrong_value_names_its_field(kind: type[Any], field: str, value: Any) -> None:
    assert refused(kind, {field: value}).field == field


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        (Item, {"categories": ["comedy", ""]}, "categories[1]"),
        (Impression, {"items": ["i1", 2]}, "items[1]"),
        (User, {"interests": [None]}, "interests[0]"),
        (User, {"attributes": {"age": 30, "languages": ["de", 5]}}, "attributes.languages[1]"),
        (Item, {"attributes": {"actors": ["x"] * 257}}, "attributes.actors"),
        (Item, {"attributes": {"year": 1995, "actor": {"name": "x"}}}, "attributes.actor"),
    ],
)
def test_a_wrong_entry_names_its_place(kind: type[Any], change: dict[str, Any], field: str) -> None:
    assert refused(kind, change).field == field


@pytest.mark.parametrize("name", ["query", "colour", "a.b", "x - at `$.y"])
@pytest.mark.parametrize(("what", "value"), BAD_VALUES, ids=[what for what, _ in BAD_VALUES])
def test_a_wrong_property_is_named_among_sound_ones(name: str, what: str, value: Any) -> None:
    error = refused(Interaction, {"properties": {"surface": "home", "price": 1, name: value, "region": "DE"}})
    assert error.field == f"properties.{name}"
    assert "[...]" not in str(error)


@pytest.mark.parametrize("kind", [Item, User])
@pytest.mark.parametrize(("what", "value"), [b for b in BAD_VALUES if b[0] != "list"], ids=lambda b: str(b)[:9])
def test_a_wrong_attribute_is_named_among_sound_ones(kind: type[Any], what: str, value: Any) -> None:
    assert refused(kind, {"attributes": {"year": 1995, "age": value, "x": "y"}}).field == "attributes.age"


@pytest.mark.parametrize("name", ["quantity", "price", "rating", "watch_seconds", "position"])
@pytest.mark.parametrize("value", ["5", True, ""])
def test_known_numbers_are_numbers(name: str, value: Any) -> None:
    error = refused(Interaction, {"properties": {name: value}})
    assert (error.field, error.detail) == (f"properties.{name}", "must be a number")


@pytest.mark.parametrize("name", ["query", "surface", "device", "region", "country", "currency"])
@pytest.mark.parametrize("value", [49, 1.5, False])
def test_known_texts_are_text(name: str, value: Any) -> None:
    error = refused(Interaction, {"properties": {name: value}})
    assert (error.field, error.detail) == (f"properties.{name}", "must be text")


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        *(("quantity", value, "must be more than 0") for value in (0, -1, 0.0, -0.5, -(2**63))),
        *(("price", value, "must be at least 0") for value in (-5, -0.01, -1e300)),
        *(("rating", value, "must be 0 to 10") for value in (-1, 99, 10.5, -0.001, 1e300)),
        *(("position", value, "must be at least 0") for value in (-1, -0.5)),
    ],
)
def test_a_number_out_of_its_range_names_the_range(name: str, value: float, detail: str) -> None:
    error = refused(Interaction, {"properties": {name: value}})
    assert (error.field, error.detail) == (f"properties.{name}", detail)


@pytest.mark.parametrize(
    ("name", "value"),
    [("quantity", 0.25), ("quantity", 1), ("price", 0), ("rating", 0), ("rating", 10), ("position", 0)],
)
def test_a_number_at_the_edge_of_its_range_is_taken(name: str, value: float) -> None:
    assert from_fields(Interaction, SOUND[Interaction] | {"properties": {name: value}})


@given(
    name=st.sampled_from(sorted(NUMERIC_PROPERTIES)),
    value=st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_number_is_taken_exactly_where_its_range_holds_it(name: str, value: float) -> None:
    change = {"properties": {name: value}}
    least, most = {
        "quantity": (math.ulp(0.0), math.inf), "price": (0, math.inf), "rating": (0, 10), "watch_seconds": (0, 1e9),
        "position": (0, math.inf),
    }[name]  # fmt: skip
    if least <= value <= most:
        assert from_fields(Interaction, SOUND[Interaction] | change).properties == change["properties"]
    else:
        assert refused(Interaction, change).field == f"properties.{name}"


@pytest.mark.parametrize("name", ["surface", "device", "region", "country", "currency"])
def test_texts_that_are_parameters_of_urls_hold_no_control_characters(name: str) -> None:
    error = refused(Interaction, {"properties": {name: "D\nE"}})
    assert (error.field, error.detail) == (f"properties.{name}", "must not hold control characters")
    assert from_fields(Interaction, SOUND[Interaction] | {"properties": {"query": "two\nlines"}})


@pytest.mark.parametrize("kind", [Interaction, Impression])
@pytest.mark.parametrize("value", [T0 // 1000, T0 / 1000, T0 / 1000 + 0.5, EARLIEST_MS // 1000])
def test_seconds_are_recognised(kind: type[Any], value: float) -> None:
    error = refused(kind, {"timestamp": value})
    assert error.detail == "looks like seconds: send milliseconds (multiply by 1000) or ISO 8601"


@pytest.mark.parametrize("kind", [kind for kind, _ in IDS])
def test_an_id_may_hold_what_can_be_written_in_a_url(kind: type[Any]) -> None:
    for value in ("a/b", "...", ".a", "a b", "%2F", "é中😀", "?", "#", "a..b", "\u2028", "-" * 256):
        for name in (name for of, name in IDS if of is kind):
            assert getattr(from_fields(kind, SOUND[kind] | {name: value}), name) == value


@pytest.mark.parametrize("value", [1.7e308, 1e9 + 1, 2**63 - 1, -1, -0.5])
def test_nobody_watches_for_less_than_no_time_or_for_ever(value: float) -> None:
    error = refused(Interaction, {"properties": {"watch_seconds": value}})
    assert (error.field, error.detail) == ("properties.watch_seconds", "must be 0 to 1000000000")


@pytest.mark.parametrize("value", [0, 0.0, 1e9, 10**9])
def test_the_limits_of_what_is_watched_are_inclusive(value: float) -> None:
    assert from_fields(Interaction, SOUND[Interaction] | {"properties": {"watch_seconds": value}})


def test_only_a_search_may_do_without_an_item() -> None:
    assert refused(Interaction, {"item_id": None}).field == "item_id"
    search = SOUND[Interaction] | {"event_type": "search", "item_id": None}
    assert from_fields(Interaction, search).item_id is None


def test_limits_are_inclusive() -> None:
    long = {"event_id": "x" * 256, "timestamp": EARLIEST_MS, "properties": {"note": "x" * 2048, "n": -(2**63)}}
    assert from_fields(Interaction, SOUND[Interaction] | long).timestamp == EARLIEST_MS
    assert from_fields(Item, {"item_id": "i1", "price": 0}).price == 0.0
