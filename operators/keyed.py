"""The two operators of the main path: one keyed by user, one keyed by item.

Both run the aggregations of a view; the user operator also guards the door (duplicates, lateness,
times in the future), so that what reaches the item operator has been accepted exactly once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from operators.contract import Aggregation, Field, Operator, Record, Row, Signal, View, World, read_time
from operators.gate import IMPRESSION as IMPRESSION  # re-exported: views name it from here
from operators.gate import Door, Gate
from operators.history import hash64
from operators.time import DEFAULT_LATENESS
from schemas.errors import InvalidEvent, StateError
from schemas.events import Interaction, Item, User

STATE_FIELD = Field("state", "bytes", b"", "operator state: what a server continues from")
SENT = 4
"""how many fields of a signal, from the first, the item operator reads: event type, time, item and region"""
FORMAT = 3
"""of KeyedState itself: another number makes saved states of before unreadable, and known to be so"""
REBUILD = "start the job without its saved state, so that it reads the log anew (freshet up --no-restore)"


class KeyedState(Struct, array_like=True, gc=False):
    """State of one part: what the gate remembers (empty where there is none), and each aggregation's state.

    `layout` is a hash of the view's declaration: state of another one is refused rather than misread.
    """

    layout: int
    watermark: int
    did: Door
    shown: Door
    profile: dict[str, Any]
    parts: tuple[Any, ...]


class Aggregator:
    """The states of one view's aggregations: made, encoded, updated and read together."""

    def __init__(self, view: View[Any]) -> None:
        self.view = view
        self._all = view.aggregations
        kinds = tuple(a.state for a in self._all)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(
            tuple[int, int, Door, Door, dict[str, Any], tuple[kinds]]  # type: ignore[valid-type]
        )
        self.layout = hash64(repr((FORMAT, view.name, [_declaration(a) for a in self._all]))) >> 40

    def new(self) -> KeyedState:
        return KeyedState(self.layout, 0, Door.new(), Door.new(), {}, tuple(a.new() for a in self._all))

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
        found: list[Any] = []
        at = read_time(state.watermark, at)
        for aggregation, part in zip(self._all, state.parts, strict=True):
            found += aggregation.values(part, at)
        return tuple(found)

    def due(self, state: KeyedState, at: int) -> int | None:
        soonest = None
        at = read_time(state.watermark, at)
        for aggregation, part in zip(self._all, state.parts, strict=True):
            time = aggregation.due(part, at)
            if time is not None and (soonest is None or time < soonest):
                soonest = time
        return soonest


def _declaration(aggregation: Aggregation[Any]) -> tuple[Any, ...]:
    """Its kind, fields and parameters; counts kept by another order of types would be read as other events'."""
    parameters = [
        (name, sorted(value) if isinstance(value, frozenset) else value)
        for name, value in sorted(vars(aggregation).items())
        if not name.startswith("_") and name not in ("state", "fields")
    ]
    return type(aggregation).__name__, [(f.name, f.dtype) for f in aggregation.fields], parameters


class UserOperator(Operator[KeyedState]):
    """Interactions, impressions and profiles of one user → the user's row, and news of items.

    The watermark is the user's own: the latest event time of that key. It depends on nothing but
    the order of the user's events in their partition, so a replay of the log comes to the very
    same decisions; a stream-wide watermark would depend on who else was busy at the time.
    """

    name = "user"

    def __init__(self, view: View[Any], world: World, lateness: int | None = DEFAULT_LATENESS) -> None:
        """`view` ends with STATE_FIELD; `lateness` is the allowed lateness in ms, None as for `Gate`."""
        self.world = world
        self.view = view
        self._features = Aggregator(view)
        self._gate = Gate(world, lateness)

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        return () if type(record.event) is Signal else ("",)

    def new(self, part: str = "") -> KeyedState:
        return self._features.new()

    def encode(self, part: str, state: KeyedState) -> bytes:
        return self._features.encode(state)

    def decode(self, part: str, blob: bytes) -> KeyedState:
        return self._features.decode(blob)

    def watermark(self, state: KeyedState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: KeyedState, at: int, encoded: bytes | None = None) -> Row:
        values = self._features.values(state, at)
        return Row(self.view.name, (key,), (*values, self._features.encode(state) if encoded is None else encoded))

    def due(self, part: str, state: KeyedState, at: int) -> int | None:
        return self._features.due(state, at)

    def listeners(self, signal: Signal) -> Iterable[str]:
        return (signal.item_id,) if signal.item_id else ()

    def on_event(self, part: str, state: KeyedState, record: Record) -> list[Signal]:
        signals = self._gate.take(state, record)
        event = record.event
        if type(event) is Interaction:
            self._features.update(state, signals[0], self.world)
        elif type(event) is User:
            said = Signal("profile", state.watermark, subject=event)
            for aggregation, own in zip(self.view.aggregations, state.parts, strict=True):
                if hasattr(own, "interests"):
                    aggregation.update(own, said, self.world)
        return signals


class ItemOperator(Operator[KeyedState]):
    """News of items and catalogue entries → the item's row, overall and in each region."""

    name = "item"

    def __init__(self, overall: View[Any], regional: View[Any], world: World) -> None:
        self.world = world
        self.overall = overall
        self.regional = regional
        self._overall = Aggregator(overall)
        self._regional = Aggregator(regional)

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        event = record.event
        if type(event) is Signal:
            if event.item_id != key:
                return ()
            return ("", event.region) if event.region else ("",)
        return ("",)

    def _of(self, part: str) -> Aggregator:
        return self._regional if part else self._overall

    def new(self, part: str = "") -> KeyedState:
        return self._of(part).new()

    def encode(self, part: str, state: KeyedState) -> bytes:
        return self._of(part).encode(state)

    def decode(self, part: str, blob: bytes) -> KeyedState:
        return self._of(part).decode(blob)

    def watermark(self, state: KeyedState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: KeyedState, at: int, encoded: bytes | None = None) -> Row:
        features = self._of(part)
        return Row(features.view.name, (key, part) if part else (key,), features.values(state, at))

    def due(self, part: str, state: KeyedState, at: int) -> int | None:
        return self._of(part).due(state, at)

    def on_event(self, part: str, state: KeyedState, record: Record) -> list[Signal]:
        event = record.event
        if type(event) is Signal:
            state.watermark = max(state.watermark, event.timestamp)
            # No more of the event than this reaches the operator where nothing else is declared of items.
            signal = Signal(event.event_type, event.timestamp, event.item_id, event.region)
        elif type(event) is Item:
            signal = Signal("catalogue", state.watermark, event.item_id, subject=event)
        else:
            raise InvalidEvent(f"a {type(event).__name__} does not belong to an item")
        self._of(part).update(state, signal, self.world)
        return []
