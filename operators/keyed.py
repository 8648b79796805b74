"""The two operators of the main path: one keyed by user, one keyed by item.

Both run the aggregations of a view; the user operator also guards the door (duplicates, lateness,
times in the future), so that what reaches the item operator has been accepted exactly once.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from operators.contract import Aggregation, Field, ItemEvent, Record, Row, Signal, View, World
from operators.gate import IMPRESSION as IMPRESSION  # re-exported: views name it from here
from operators.gate import admit
from operators.history import hash64
from operators.time import hours
from schemas.errors import InvalidEvent, StateError
from schemas.events import Impression, Interaction, Item, User

STATE_FIELD = Field("state", "bytes", b"", "operator state: what a server continues from")
REBUILD = "start the job without its saved state, so that it reads the log anew (freshet up --no-restore)"


class KeyedState(Struct, array_like=True, gc=False):
    """State of one part: `ids` are the hashes of accepted event ids by hour of event time.

    `layout` is a hash of the view's declaration: state of another one is refused rather than misread.
    """

    layout: int
    watermark: int
    ids: dict[int, set[int]]
    parts: tuple[Any, ...]


class Aggregator:
    """The states of one view's aggregations: made, encoded, updated and read together."""

    def __init__(self, view: View[Any]) -> None:
        self.view = view
        self._all = view.aggregations
        kinds = tuple(a.state for a in self._all)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(
            tuple[int, int, dict[int, set[int]], tuple[kinds]]  # type: ignore[valid-type]
        )
        self.layout = hash64(repr((view.name, [_declaration(a) for a in self._all]))) >> 40

    def new(self) -> KeyedState:
        return KeyedState(self.layout, 0, {}, tuple(a.new() for a in self._all))

    def encode(self, state: KeyedState) -> bytes:
        return self._encoder.encode(state)

    def decode(self, blob: bytes) -> KeyedState:
        """Raises StateError where the blob is another view's, or an older version's of this one."""
        try:
            state = KeyedState(*self._decoder.decode(blob))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.view.name}: {error}; {REBUILD}") from None
        if state.layout != self.layout:
            raise StateError(f"{self.view.name}: the view has changed; {REBUILD}")
        return state

    def update(self, state: KeyedState, signal: Signal, world: World) -> None:
        for aggregation, part in zip(self._all, state.parts, strict=True):
            aggregation.update(part, signal, world)

    def values(self, state: KeyedState, at: int) -> tuple[Any, ...]:
        return tuple(
            value
            for aggregation, part in zip(self._all, state.parts, strict=True)
            for value in aggregation.values(part, at)
        )

    def due(self, state: KeyedState, at: int) -> int | None:
        times = [
            time
            for aggregation, part in zip(self._all, state.parts, strict=True)
            if (time := aggregation.due(part, at)) is not None
        ]
        return min(times, default=None)


def _declaration(aggregation: Aggregation[Any]) -> tuple[Any, ...]:
    """Its kind, fields and parameters; counts kept by another order of types would be read as other events'."""
    parameters = [
        (name, sorted(value) if isinstance(value, frozenset) else value)
        for name, value in sorted(vars(aggregation).items())
        if not name.startswith("_") and name not in ("state", "fields")
    ]
    return type(aggregation).__name__, [(f.name, f.dtype) for f in aggregation.fields], parameters


class UserOperator:
    """Interactions, impressions and profiles of one user → the user's row, and news of items.

    The watermark is the user's own: the latest event time of that key. It depends on nothing but
    the order of the user's events in their partition, so a replay of the log comes to the very
    same decisions; a stream-wide watermark would depend on who else was busy at the time.
    """

    name = "user"

    def __init__(self, view: View[Any], world: World, lateness: int = hours(24)) -> None:
        """`view` ends with STATE_FIELD; `lateness` is the allowed lateness in ms."""
        self.world = world
        self.lateness = lateness
        self._features = Aggregator(view)
        self.view = view
        self.encode = self._features.encode

    def parts(self, record: Record) -> tuple[str, ...]:
        return ("",)

    def new(self, part: str = "") -> KeyedState:
        return self._features.new()

    def decode(self, part: str, blob: bytes) -> KeyedState:
        return self._features.decode(blob)

    def watermark(self, state: KeyedState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: KeyedState, at: int, encoded: bytes | None = None) -> Row:
        values = self._features.values(state, at)
        return Row(self.view.name, (key,), (*values, self.encode(state) if encoded is None else encoded))

    def due(self, part: str, state: KeyedState, at: int) -> int | None:
        return self._features.due(state, at)

    def on_event(self, state: KeyedState, record: Record) -> list[ItemEvent]:
        event = record.event
        if type(event) is Interaction:
            admit(state, self.lateness, event.event_id, event.timestamp, record.arrived, "event_id")
            return self._interaction(state, event, record)
        if type(event) is Impression:
            # An app may call an event and a list by one id.
            id = f"{IMPRESSION}\0{event.request_id}"
            admit(state, self.lateness, id, event.timestamp, record.arrived, "request_id")
            region = event.region or ""
            return [ItemEvent(i, IMPRESSION, event.timestamp, region) for i in event.items]
        if type(event) is User:
            signal = Signal("profile", state.watermark, subject=event)
            for aggregation, part in zip(self.view.aggregations, state.parts, strict=True):
                if hasattr(part, "interests"):
                    aggregation.update(part, signal, self.world)
            return []
        raise InvalidEvent(f"a {type(event).__name__} does not belong to a user")

    def _interaction(self, state: KeyedState, event: Interaction, record: Record) -> list[ItemEvent]:
        item = self.world.item(event.item_id) if event.item_id else None
        properties = event.properties
        region = str(properties.get("region", ""))
        rating = properties.get("rating")
        signal = Signal(
            event.event_type,
            event.timestamp,
            event.item_id or "",
            event.session_id or "",
            region,
            item.categories if item else (),
            (item.brand or "") if item else "",
            record.partition,
            record.offset,
            None,
            float(rating) if isinstance(rating, (int, float)) else None,
        )
        self._features.update(state, signal, self.world)
        if not event.item_id:
            return []
        return [ItemEvent(event.item_id, event.event_type, event.timestamp, region)]


class ItemOperator:
    """News of items and catalogue entries → the item's row, overall and in each region."""

    name = "item"

    def __init__(self, overall: View[Any], regional: View[Any], world: World) -> None:
        self.world = world
        self.overall = overall
        self.regional = regional
        self._overall = Aggregator(overall)
        self._regional = Aggregator(regional)
        self.encode = self._overall.encode

    def parts(self, record: Record) -> tuple[str, ...]:
        event = record.event
        if type(event) is ItemEvent and event.region:
            return ("", event.region)
        return ("",)

    def _of(self, part: str) -> Aggregator:
        return self._regional if part else self._overall

    def new(self, part: str = "") -> KeyedState:
        return self._of(part).new()

    def decode(self, part: str, blob: bytes) -> KeyedState:
        return self._of(part).decode(blob)

    def watermark(self, state: KeyedState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: KeyedState, at: int, encoded: bytes | None = None) -> Row:
        features = self._of(part)
        return Row(features.view.name, (key, part) if part else (key,), features.values(state, at))

    def due(self, part: str, state: KeyedState, at: int) -> int | None:
        return self._of(part).due(state, at)

    def on_event(self, state: KeyedState, record: Record) -> list[ItemEvent]:
        """Applies the record to one part's state; which part it is shows in the state's layout."""
        event = record.event
        if type(event) is ItemEvent:
            state.watermark = max(state.watermark, event.timestamp)
            signal = Signal(event.event_type, event.timestamp, event.item_id, region=event.region)
        elif type(event) is Item:
            signal = Signal("catalogue", state.watermark, event.item_id, subject=event)
        else:
            raise InvalidEvent(f"a {type(event).__name__} does not belong to an item")
        features = self._overall if state.layout == self._overall.layout else self._regional
        features.update(state, signal, self.world)
        return []
