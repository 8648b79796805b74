"""Typed events, one struct a topic, with the limits that hold wherever an event comes from.

The structs are the single place of the rules: JSON from people, Avro from Kafka and the replay of a file all pass
through them, so that an event is accepted or refused alike wherever it comes from.
Times are epoch milliseconds, UTC.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, ValidationError, convert, structs

from schemas.errors import InvalidEvent

EventType: TypeAlias = Literal[
    "view", "click", "add_to_cart", "purchase", "like", "dislike", "play", "rating", "search", "share"
]
EVENT_TYPES: tuple[str, ...] = EventType.__args__  # type: ignore[attr-defined]

EARLIEST_MS = 631_152_000_000
"""1990-01-01: nothing that happened in an app is older, so an older time is a unit mistake
(seconds sent as milliseconds fall here) and is refused rather than kept for ever."""

MAX_FUTURE_MS = 5 * 60_000
"""How far ahead of the broker's clock an event's time may be: client clocks drift."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Text: TypeAlias = Annotated[str, Meta(max_length=8192)]
Millis: TypeAlias = Annotated[int, Meta(ge=EARLIEST_MS, le=2**53)]
Date: TypeAlias = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Whole: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Scalar: TypeAlias = bool | Whole | float | Annotated[str, Meta(max_length=2048)]
Properties: TypeAlias = Annotated[dict[Name, Scalar], Meta(max_length=64)]
Attributes: TypeAlias = Annotated[
    dict[Name, Scalar | Annotated[list[Annotated[str, Meta(max_length=512)]], Meta(max_length=256)]],
    Meta(max_length=64),
]
Names: TypeAlias = Annotated[list[Name], Meta(max_length=64)]
Propensity: TypeAlias = Annotated[float, Meta(gt=0, le=1)]

FLOAT_BYTES = 4
MAX_INPUTS = 1024
"""of a ranker, an item: what is logged of them is kept in state until its window ends"""

NUMERIC_PROPERTIES = ("quantity", "price", "rating", "watch_seconds", "position")
MOST_WATCHED_S = 1e9
"""thirty years: more is no time that somebody has watched, and sums of it would end in infinity"""
TEXT_PROPERTIES = ("query", "surface", "device", "region", "country", "currency")


class Interaction(Struct, forbid_unknown_fields=True, frozen=True):
    """One thing a person did. `item_id` is None only for a search."""

    event_id: Id
    event_type: EventType
    user_id: Id
    timestamp: Millis
    item_id: Id | None = None
    session_id: Id | None = None
    request_id: Id | None = None
    properties: Properties = {}


class Item(Struct, forbid_unknown_fields=True, frozen=True):
    """A catalogue entry; a later one with the same id replaces it whole."""

    item_id: Id
    title: Text = ""
    categories: Names = []
    brand: Name | None = None
    price: Annotated[float, Meta(ge=0)] | None = None
    created_at: Date | None = None
    available: bool = True
    attributes: Attributes = {}


class User(Struct, forbid_unknown_fields=True, frozen=True):
    """A person's profile. A later one with the same id replaces it, but for a consent that the later one leaves out."""

    user_id: Id
    attributes: Attributes = {}
    interests: Names = []
    consent: bool | None = None
    """None: not said. The consent that was in force stays, and is True for a person who never said anything"""

    def after(self, earlier: User | None) -> User:
        """This profile as it holds after `earlier`, the same person's before it: with that one's consent where this one
        says none."""
        if self.consent is not None or earlier is None or earlier.consent is None:
            return self
        return structs.replace(self, consent=earlier.consent)


class Impression(Struct, forbid_unknown_fields=True, frozen=True):
    """A list as it was shown: `items[k]` stood at position k, counted from 0.

    `features` are the ranker's inputs as served, one row an item, for a training that sees what the model saw. What its
    columns are called is in the manifest of `model_version`; in JSON they are base64.
    """

    request_id: Id
    user_id: Id
    timestamp: Millis
    items: Annotated[list[Id], Meta(min_length=1, max_length=1000)]
    surface: Name = "home"
    region: Name | None = None
    device: Name | None = None
    model_version: Name | None = None
    variant: Name | None = None
    propensities: list[Propensity] | None = None
    features: bytes | None = None
    """float32 (len(items), inputs), little-endian, row by row"""
    applied_offset: Annotated[int, Meta(ge=-1)] | None = None
    """offset of the last interaction in the person's row, -1 where there was none. A server of Freshet's says it of its
    own lists; None is what an app made"""
    own_offsets: list[Annotated[int, Meta(ge=0)]] | None = None
    """those of the person's later interactions that the server knew of before the row did, in their order"""


SERVERS_OWN = ("applied_offset", "own_offsets")
"""fields of an impression that nobody posts: they say that a server of Freshet's made the list"""


class Example(Struct, forbid_unknown_fields=True, frozen=True):
    """One item of an impression and what came of it: what operators/attribution.py makes of the two."""

    request_id: Id
    user_id: Id
    item_id: Id
    position: Annotated[int, Meta(ge=0)]
    shown_at: Millis
    surface: Name = "home"
    region: Name | None = None
    device: Name | None = None
    model_version: Name | None = None
    variant: Name | None = None
    labels: dict[str, int] = {}
    """event type → how often"""
    watch_seconds: float | None = None
    propensity: float | None = None
    features: bytes | None = None
    complete: bool = True
    """False where it was closed before its window had ended"""


Event: TypeAlias = Interaction | Item | User | Impression


def field_of(error: ValidationError) -> tuple[str, str]:
    """(path of the field at fault, what is wrong) from a msgspec message.

    msgspec says "Expected `str`, got `int` - at `$.item_id`" or "Object contains unknown field `x`" or
    "Object missing required field `x`"; receipts need the two halves apart.
    """
    message = str(error)
    for start, detail in (
        ("Object contains unknown field `", "is not a field of this event"),
        ("Object missing required field `", "is required"),
    ):
        if message.startswith(start):
            return message[len(start) : -1], detail
    detail, at, where = message.rpartition(" - at `")
    if not at:
        return "", message
    path = where.rstrip("`").removeprefix("key` in `").removeprefix("$").removeprefix(".")
    return path, f"a name in it: {detail}" if where.startswith("key`") else detail


def _entry_of(kind: type[Any], fields: dict[str, Any], path: str) -> str:
    """The path with the name of the map's entry, which msgspec leaves out: `properties[...]` → `properties.query`."""
    where, _, rest = path.partition("[...]")
    wanted = next((field.type for field in structs.fields(kind) if field.name == where), None)
    if wanted is None:
        return path  # somebody's field has this for its name
    for name, value in fields[where].items():
        try:
            convert({name: value}, wanted)
        except ValidationError:
            return f"{where}.{name}{rest}"
    return where


def from_fields(kind: type[Any], fields: dict[str, Any]) -> Any:
    """A validated event of `kind` from decoded fields.

    Raises InvalidEvent naming the field.
    """
    try:
        event = convert(fields, kind)
    except ValidationError as error:
        path, detail = field_of(error)
        if "[...]" in path:
            path = _entry_of(kind, fields, path)
        raise InvalidEvent(detail, path) from None
    check(event)
    return event


def check(event: Event) -> None:
    """The rules that types alone do not say. Raises InvalidEvent naming the field."""
    if type(event) is Interaction:
        if event.item_id is None and event.event_type != "search":
            raise InvalidEvent("is required unless event_type is search", "item_id")
        if event.properties:
            _check_properties(event.properties)
    elif type(event) is Item:
        if event.price is not None and not math.isfinite(event.price):
            raise InvalidEvent("must be a finite number", "price")
        _check_finite(event.attributes, "attributes")
    elif type(event) is User:
        _check_finite(event.attributes, "attributes")
    elif type(event) is Impression:
        _check_shown(event)


def _check_shown(event: Impression) -> None:
    n = len(event.items)
    if event.propensities is not None and len(event.propensities) != n:
        raise InvalidEvent(f"must be {n}, one an item", "propensities")
    if event.features is None:
        return
    width, rest = divmod(len(event.features), n * FLOAT_BYTES)
    if rest or not 1 <= width <= MAX_INPUTS:
        raise InvalidEvent(f"must be float32, as many for each of the {n} items, at most {MAX_INPUTS}", "features")
    if event.model_version is None:
        raise InvalidEvent("is required where there are features: it says which", "model_version")


def _check_properties(properties: dict[str, Any]) -> None:
    _check_finite(properties, "properties")
    for name in NUMERIC_PROPERTIES:
        value = properties.get(name)
        if value is not None and (isinstance(value, (str, bool))):
            raise InvalidEvent("must be a number", f"properties.{name}")
    if not 0 <= properties.get("watch_seconds", 0) <= MOST_WATCHED_S:
        raise InvalidEvent(f"must be 0 to {MOST_WATCHED_S:.0f}", "properties.watch_seconds")
    for name in TEXT_PROPERTIES:
        value = properties.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidEvent("must be text", f"properties.{name}")


def _check_finite(values: dict[str, Any], where: str) -> None:
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidEvent("must be a finite number", f"{where}.{name}")
