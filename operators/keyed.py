"""The two operators of the main path: one keyed by user, one keyed by item.

Both run the aggregations of a view; the user operator also admits events (no duplicates, none too late or in the
future), so that what reaches the item operator has been admitted exactly once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from operators.contract import Aggregation, Cells, Field, Operator, Record, Row, Signal, View, World, read_time
from operators.gate import IMPRESSION as IMPRESSION  # re-exported: views name it from here
from operators.gate import Admissions, Gate, Head
from operators.history import Applied, hash64
from operators.subject import Profile
from operators.time import DEFAULT_LATENESS
from operators.vector import UserVector
from schemas.errors import InvalidEvent, StateError
from schemas.events import Interaction, Item, User

STATE = "state"
"""the cell of all heads"""
STATE_FIELD = Field(STATE, "bytes", b"", "operator state: what a server continues from")
ATTRIBUTES = "attributes"
"""the cell of the latest profile's attributes"""
SENT = 4
"""how many fields of a signal, from the first, the item operator reads: event type, time, item and region"""
FORMAT = 4
"""of encoded states and of rows: those of another number are refused"""
REBUILD = "start the job without its saved state, so that it reads the log anew (freshet up --no-restore)"


def state_fields(aggregations: Sequence[Aggregation[Any]]) -> tuple[Field, ...]:
    """The fields of a row that hold the state, for a server to continue from."""
    return (STATE_FIELD, *(cell for aggregation in aggregations for cell in aggregation.cells))


class KeyedState(Struct, gc=False):
    """State of one part: admissions and the profile's attributes (empty where there are none), and each aggregation's
    state."""

    watermark: int
    did: Admissions
    shown: Admissions
    profile: dict[str, Any]
    parts: tuple[Any, ...]
    attributes: bytes | None = None
    """`profile` encoded; None where it has changed since"""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyedState) and all(
            getattr(self, name) == getattr(other, name) for name in ("watermark", "did", "shown", "profile", "parts")
        )


class Aggregator:
    """The states of one view's aggregations: made, encoded, updated and read together.

    Heads are one cell, `state`: format, layout (a hash of the view's declaration: a state of another one is refused
    rather than misread), watermark, admissions, the aggregations' heads. `split` says whether long memories have cells
    of their own; else they are in that cell too.
    """

    def __init__(self, view: View[Any], split: bool = False) -> None:
        self.view = view
        self._all = view.aggregations
        self._split = split
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(
            tuple[int, int, int, Head, Head, tuple[tuple(a.head for a in self._all)], dict[str, bytes]]  # type: ignore[misc]
        ).decode
        self._attributes = msgspec.msgpack.Decoder(dict[str, Any]).decode
        self.layout = hash64(repr((FORMAT, view.name, [_declaration(a) for a in self._all]))) >> 40

    def new(self) -> KeyedState:
        return KeyedState(0, Admissions(), Admissions(), {}, tuple(a.new() for a in self._all), b"")

    def encode(self, state: KeyedState) -> dict[str, bytes]:
        """The state in cells."""
        heads: list[Any] = []
        cells: dict[str, bytes] = {}
        for aggregation, part in zip(self._all, state.parts, strict=True):
            head, own = aggregation.split(part)
            heads.append(head)
            cells.update(own)
        if state.attributes is None:
            state.attributes = self._encode(state.profile) if state.profile else b""
        cells[ATTRIBUTES] = state.attributes
        inside = {} if self._split else {name: cell for name, cell in cells.items() if cell}
        admitted = state.did.head, state.shown.head
        blob = self._encode((FORMAT, self.layout, state.watermark, *admitted, heads, inside))
        return {STATE: blob, **cells, **state.did.cells(), **state.shown.cells()} if self._split else {STATE: blob}

    def decode(self, cells: Cells) -> KeyedState:
        """Raises StateError where the cells are another view's, or an older version's of this one, or broken."""
        watermark, did, shown, heads, inside = self._heads(cells)
        own = cells if self._split else inside
        parts = tuple(a.join(head, own) for a, head in zip(self._all, heads, strict=True))
        attributes = own.get(ATTRIBUTES, b"")
        try:
            profile = self._attributes(attributes) if attributes else {}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.view.name}: {error}; {REBUILD}") from None
        did, shown = Admissions.of(did, "did", cells), Admissions.of(shown, "shown", cells)
        return KeyedState(watermark, did, shown, profile, parts, attributes)

    def of_row(self, row: Mapping[str, Any]) -> KeyedState:
        """The state that a row was made of, field name → value, but for most ids and the profile's attributes, which it
        does not have. Raises StateError as `decode`."""
        watermark, did, shown, heads, _ = self._heads(row)
        parts = tuple(a.of_row(head, row) for a, head in zip(self._all, heads, strict=True))
        return KeyedState(watermark, Admissions.of_row(did), Admissions.of_row(shown), {}, parts, b"")

    def _heads(self, cells: Mapping[str, Any]) -> tuple[Any, ...]:
        try:
            form, layout, *found = self._decode(cells.get(STATE, b""))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.view.name}: {error}; {REBUILD}") from None
        if (form, layout) != (FORMAT, self.layout):
            raise StateError(f"{self.view.name}: the view has changed; {REBUILD}")
        return tuple(found)

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

    def of_kind(self, kind: type[Any]) -> tuple[int, Any] | None:
        """The place and the declaration of the first aggregation of this kind."""
        return next(((n, a) for n, a in enumerate(self._all) if isinstance(a, kind)), None)


def readable(blob: bytes) -> bool:
    """Whether a row's `state` is of this format, so that its fields mean what they are called."""
    return blob[:2] == bytes([0x97, FORMAT])  # msgpack: an array of seven, the first of which is a small number


def _declaration(aggregation: Aggregation[Any]) -> tuple[Any, ...]:
    """Its kind, fields and parameters; counts kept by another order of types would be read as other events'."""
    parameters = [
        (name, sorted(value) if isinstance(value, frozenset) else value)
        for name, value in sorted(vars(aggregation).items())
        if not name.startswith("_") and name not in ("state", "head", "fields", "cells")
    ]
    return type(aggregation).__name__, [(f.name, f.dtype) for f in aggregation.fields], parameters


class UserOperator(Operator[KeyedState]):
    """Interactions, impressions and profiles of one user → the user's row, and signals for the item operator.

    The watermark is the user's own: the latest event time of that key. It depends on nothing but
    the order of the user's events in their partition, so a replay of the log comes to the very
    same decisions; a stream-wide watermark would depend on who else was busy at the time.
    """

    name = "user"

    def __init__(self, view: View[Any], world: World, lateness: int | None = DEFAULT_LATENESS) -> None:
        """`view.extra` is `state_fields` of its aggregations; `lateness` is the allowed lateness in ms, None as for
        `Gate`."""
        self.world = world
        self.view = view
        self._features = Aggregator(view, split=True)
        self._gate = Gate(world, lateness)
        self._profile = self._features.of_kind(Profile)
        self._applied = self._features.of_kind(Applied)
        self._vector = self._features.of_kind(UserVector)

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        return () if type(record.event) is Signal else ("",)

    def new(self, part: str = "") -> KeyedState:
        return self._features.new()

    def encode(self, part: str, state: KeyedState) -> dict[str, bytes]:
        return self._features.encode(state)

    def decode(self, part: str, cells: Cells) -> KeyedState:
        return self._features.decode(cells)

    def of_row(self, row: Mapping[str, Any]) -> KeyedState:
        """The state to continue from outside the stream, from a row (field name → value). Its user vector is in the
        row's precision, and it has the last ids alone. Raises StateError where the row is of another declaration."""
        return self._features.of_row(row)

    def embed(self, state: KeyedState) -> None:
        """Takes the user vector into the world's space, where it is not there yet."""
        if self._vector:
            place, vector = self._vector
            vector.embed(state.parts[place], self.world)

    def vector(self, state: KeyedState) -> dict[str, Any]:
        """The fields of the user vector, by name."""
        assert self._vector is not None
        place, vector = self._vector
        return dict(zip((f.name for f in vector.fields), vector.values(state.parts[place], 0), strict=True))

    def watermark(self, state: KeyedState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: KeyedState, at: int, cells: Cells | None = None) -> Row:
        values = self._features.values(state, at)
        found = self._features.encode(state) if cells is None else cells
        return Row(self.view.name, (key,), (*values, *(found.get(f.name, b"") for f in self.view.extra)))

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
            state.attributes = None
            if self._profile:
                place, profile = self._profile
                profile.take(state.parts[place], record)
        return signals

    def refuse(self, part: str, state: KeyedState, record: Record) -> bool:
        if type(record.event) is not Interaction or not self._applied:
            return False
        place, applied = self._applied
        applied.refuse(state.parts[place], record.partition, record.offset)
        return True


class ItemOperator(Operator[KeyedState]):
    """Signals about items and catalogue entries → the item's row, overall and in each region."""

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

    def encode(self, part: str, state: KeyedState) -> dict[str, bytes]:
        return self._of(part).encode(state)

    def decode(self, part: str, cells: Cells) -> KeyedState:
        return self._of(part).decode(cells)

    def watermark(self, state: KeyedState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: KeyedState, at: int, cells: Cells | None = None) -> Row:
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
