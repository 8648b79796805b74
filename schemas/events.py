"""Typed events, one struct a topic, with the limits that hold wherever an event comes from.

All rules are here: JSON, Avro from Kafka and the replay of a file all pass through these structs, so that an event is
accepted or refused alike wherever it comes from.
Times are epoch milliseconds, UTC.
"""

from __future__ import annotations

import math
import struct
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, ValidationError, convert, structs

from schemas.controls import FEEDBACK, check_control
from schemas.errors import InvalidEvent
from schemas.faults import ID_PATTERN as ID_PATTERN
from schemas.faults import NO_CONTROL as NO_CONTROL
from schemas.faults import choices_of, entry_of, field_of
from schemas.follows import FOLLOWS, check_follow
from schemas.properties import check_finite, check_properties

EventType: TypeAlias = Literal[
    "view", "click", "add_to_cart", "purchase", "like", "dislike", "play", "rating", "search", "share", "feedback",
    "follow", "unfollow",
]  # fmt: skip
NO_BEHAVIOUR = frozenset({FEEDBACK}) | FOLLOWS
"""controls (schemas/controls.py) and follows (schemas/follows.py), which are no behaviour"""
EVENT_TYPES: tuple[str, ...] = tuple(name for name in EventType.__args__ if name not in NO_BEHAVIOUR)  # type: ignore[attr-defined]
"""what people do with items"""
WITHOUT_ITEM = NO_BEHAVIOUR | {"search"}
"""event types that may have no item"""

EARLIEST_MS = 631_152_000_000
"""1990-01-01: nothing that happened in an app is older. Seconds sent as milliseconds fall before it and are refused."""

SENT_TIMES = ("timestamp", "shown_at")

MAX_FUTURE_MS = 5 * 60_000
"""How far ahead of the broker's clock an event's time may be: client clocks drift."""

NAME_PATTERN = r"^[^\x00-\x1f\x7f]+$(?!\n)"
"""No control characters: names of categories, regions and surfaces are parameters of URLs. The last
group is for Python, where `$` lets a newline follow."""
TEXT_PATTERN = NAME_PATTERN.replace("+", "*")
"""the same, or nothing"""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256, pattern=ID_PATTERN)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256, pattern=NAME_PATTERN)]
Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
Text: TypeAlias = Annotated[str, Meta(max_length=8192)]
Millis: TypeAlias = Annotated[int, Meta(ge=EARLIEST_MS, le=2**53)]
Date: TypeAlias = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Whole: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Scalar: TypeAlias = bool | Whole | float | Annotated[str, Meta(max_length=2048)]
Properties: TypeAlias = Annotated[dict[Key, Scalar], Meta(max_length=64)]
Attributes: TypeAlias = Annotated[
    dict[Key, Scalar | Annotated[list[Annotated[str, Meta(max_length=512)]], Meta(max_length=256)]],
    Meta(max_length=64),
]
Names: TypeAlias = Annotated[list[Name], Meta(max_length=64)]
Propensity: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Image: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]

FLOAT_BYTES = 4
MAX_INPUTS = 1024
"""of a ranker, an item: what is logged of them is kept in state until its window ends"""
MAX_CONTEXT = 16
"""numbers that a linear policy has of an item: its state is quadratic in them"""

LARGEST_CONTEXT = 100.0
"""of these numbers, either way: sums of the squares of larger ones would leave nothing of all others"""


class Interaction(Struct, forbid_unknown_fields=True, frozen=True):
    """One thing a person did. `item_id` is None only for a search, a follow, an unfollow, and for a feedback that is
    not about an item."""

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
    """those of the person's later interactions that the server applied before the row had them, in their order"""
    explored: list[Annotated[int, Meta(ge=0)]] | None = None
    """positions that a bandit policy filled, ascending (docs/exploration.md)"""
    contexts: bytes | None = None
    """float32 (len(explored), columns), little-endian: what a linear policy had, each from
    -LARGEST_CONTEXT to LARGEST_CONTEXT; `context_id` names the columns"""
    context_id: Id | None = None
    images: list[Image | None] | None = None
    """which picture of each item was shown; None for an item without a choice"""
    segment: Name | None = None
    """the segment of people that the pictures were chosen for"""


SERVERS_OWN = ("applied_offset", "own_offsets")
"""fields of an impression that nobody posts: they say that a server of Freshet's made the list"""


class LabelledExample(Struct, forbid_unknown_fields=True, frozen=True):
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


SECONDS = "looks like seconds: send milliseconds (multiply by 1000) or ISO 8601"

Event: TypeAlias = Interaction | Item | User | Impression


def from_fields(kind: type[Any], fields: dict[str, Any]) -> Any:
    """A validated event of `kind` from decoded fields.

    Raises InvalidEvent naming the field.
    """
    try:
        event = convert(fields, kind)
    except ValidationError as error:
        path, detail = field_of(error)
        if "[...]" in path:
            path = entry_of(kind, fields, path)
        if detail.startswith("Invalid enum value"):
            detail = f"{detail}: one of {', '.join(choices_of(kind, path))}"
        if path in SENT_TIMES and _is_seconds(fields.get(path)):
            detail = SECONDS
        raise InvalidEvent(detail, path) from None
    check(event)
    return event


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and EARLIEST_MS / 1000 <= value < EARLIEST_MS


def check(event: Event) -> None:
    """The rules that types alone do not say. Raises InvalidEvent naming the field."""
    if type(event) is Interaction:
        if event.item_id is None and event.event_type not in WITHOUT_ITEM:
            raise InvalidEvent("is required unless event_type is search, feedback, follow or unfollow", "item_id")
        if event.properties:
            check_properties(event.properties)
        if event.event_type == FEEDBACK:
            check_control(event.event_id, event.item_id, event.properties)
        elif event.event_type in FOLLOWS:
            check_follow(event.event_type, event.user_id, event.item_id, event.properties)
    elif type(event) is Item:
        if event.price is not None and not math.isfinite(event.price):
            raise InvalidEvent("must be a finite number", "price")
        check_finite(event.attributes, "attributes")
    elif type(event) is User:
        check_finite(event.attributes, "attributes")
    elif type(event) is Impression:
        _check_shown(event)


def _check_shown(event: Impression) -> None:
    n = len(event.items)
    if event.propensities is not None and len(event.propensities) != n:
        raise InvalidEvent(f"must be {n}, one an item", "propensities")
    if event.images is not None and len(event.images) != n:
        raise InvalidEvent(f"must be {n}, one an item", "images")
    _check_explored(event, n)
    if event.features is None:
        return
    width, rest = divmod(len(event.features), n * FLOAT_BYTES)
    if rest or not 1 <= width <= MAX_INPUTS:
        raise InvalidEvent(f"must be float32, as many for each of the {n} items, at most {MAX_INPUTS}", "features")
    if event.model_version is None:
        raise InvalidEvent("is required where there are features: it says which", "model_version")


def _check_explored(event: Impression, n: int) -> None:
    explored = event.explored or []
    if explored != sorted(set(explored)) or any(position >= n for position in explored):
        raise InvalidEvent(f"must be positions of the {n} items, ascending", "explored")
    if event.contexts is None:
        return
    width, rest = divmod(len(event.contexts), max(len(explored), 1) * FLOAT_BYTES)
    if rest or not explored or not 1 <= width <= MAX_CONTEXT:
        raise InvalidEvent(f"must be float32, as many for each of `explored`, at most {MAX_CONTEXT}", "contexts")
    numbers = struct.unpack(f"<{len(event.contexts) // FLOAT_BYTES}f", event.contexts)
    if not all(abs(number) <= LARGEST_CONTEXT for number in numbers):
        raise InvalidEvent(f"must be numbers from -{LARGEST_CONTEXT:g} to {LARGEST_CONTEXT:g}; scale them", "contexts")
    if event.context_id is None:
        raise InvalidEvent("is required where there are contexts: it names their columns", "context_id")
