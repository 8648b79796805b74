"""The two operators of the main path: one keyed by user, one keyed by item.

Both run the aggregations of a view; the user operator also admits events (no duplicates, none too late or in the
future), so that what reaches the item operator has been admitted exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import Any, NamedTuple

from operators.aggregator import REBUILD as REBUILD  # re-exported
from operators.aggregator import STATE as STATE
from operators.aggregator import STATE_FIELD as STATE_FIELD
from operators.aggregator import Aggregator, KeyedState
from operators.contract import Cells, Operator, Record, Row, Signal, Space, View, World
from operators.gate import IMPRESSION as IMPRESSION  # re-exported: views name it from here
from operators.gate import Gate
from operators.history import Applied
from operators.subject import Profile
from operators.time import DEFAULT_LATENESS
from operators.vector import UserVector
from schemas.errors import InvalidEvent
from schemas.events import Interaction, Item, User

SENT = 4
"""how many fields of a signal, from the first, the item operator reads: event type, time, item and region"""


class _InSpace(NamedTuple):
    """A world with another space."""

    space: Space
    item: Callable[[str], Item | None]


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
        self._held = tuple(f.name for f in view.extra)
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

    def embed(self, state: KeyedState, space: Space | None = None) -> None:
        """Takes the user vector into a space, the world's where not given, if it is not there yet."""
        if self._vector:
            place, vector = self._vector
            vector.embed(state.parts[place], _InSpace(space or self.world.space, self.world.item))

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
        return Row(self.view.name, (key,), (*values, *map(found.get, self._held, repeat(b""))))

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
