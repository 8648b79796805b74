"""The operator of the main path that is keyed by item."""

from __future__ import annotations

from typing import Any

from operators.aggregator import Aggregator, KeyedState
from operators.contract import Cells, Operator, Record, Row, Signal, View, World
from operators.cooccurrence import OF_BASKETS
from schemas.errors import InvalidEvent
from schemas.events import Item

SENT = 6
"""fields of a signal, from the first, that the item operator reads: type, time, item, region, partners and contexts"""

TOGETHER = "\x01together"
"""the part of an item with its co-occurrence: no region has a control character"""


class ItemOperator(Operator[KeyedState]):
    """Signals about items and catalogue entries → the item's row, overall and in each region, and the row of what it is
    bought together with."""

    name = "item"

    def __init__(
        self, overall: View[Any], regional: View[Any], world: World, together: View[Any] | None = None
    ) -> None:
        """Without `together`, the signals of baskets change nothing."""
        self.world = world
        self.together = together
        self.overall = overall
        self.regional = regional
        self._overall = Aggregator(overall)
        self._regional = Aggregator(regional)
        self._together = Aggregator(together) if together else None

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        event = record.event
        if type(event) is Signal:
            if event.item_id != key:
                return ()
            if event.event_type in OF_BASKETS:
                return (TOGETHER,) if self._together else ()
            return ("", event.region) if event.region else ("",)
        return ("",)

    def _of(self, part: str) -> Aggregator:
        if part == TOGETHER and self._together:
            return self._together
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
        return Row(features.view.name, (key, part) if part and part != TOGETHER else (key,), features.values(state, at))

    def due(self, part: str, state: KeyedState, at: int) -> int | None:
        return self._of(part).due(state, at)

    def on_event(self, part: str, state: KeyedState, record: Record) -> list[Signal]:
        event = record.event
        if type(event) is Signal:
            state.watermark = max(state.watermark, event.timestamp)
            # No more of the event than this reaches the operator where nothing else is declared of items.
            signal = Signal(
                event.event_type, event.timestamp, event.item_id, event.region, event.partners, event.contexts
            )
        elif type(event) is Item:
            signal = Signal("catalogue", state.watermark, event.item_id, subject=event)
        else:
            raise InvalidEvent(f"a {type(event).__name__} does not belong to an item")
        self._of(part).update(state, signal, self.world)
        return []
