"""The operator of the main path that is keyed by item: admitted signals and catalogue entries → rows of items."""

from __future__ import annotations

from typing import Any

from operators.aggregator import Aggregator, KeyedState
from operators.bandit_counts import OF_ARMS, OF_CONTEXTS, LinearModel, policy_of
from operators.contract import Cells, Operator, Record, Row, Signal, View, World
from operators.cooccurrence import OF_BASKETS
from schemas.errors import InvalidEvent
from schemas.events import Item

SENT = 6
"""fields of a signal, from the first, that the item operator reads of interactions and impressions: type, time, item,
region, partners and contexts. A signal with a `context` is sent whole"""

TOGETHER, EXPLORED, LINEAR = "\x01together", "\x01explored", "\x01linear"
"""parts: of an item its co-occurrence and its counts as an arm, of a policy's key its linear model. No region has a
control character"""
PART_OF = dict.fromkeys(OF_BASKETS, TOGETHER) | dict.fromkeys(OF_ARMS, EXPLORED) | dict.fromkeys(OF_CONTEXTS, LINEAR)
"""event type of a signal → the part that it is for, where that is not the item itself"""


class ItemOperator(Operator[KeyedState]):
    """Signals about items and catalogue entries → the item's row, overall and in each region, and the rows of what it
    is bought together with and of how often it was explored. Linear models of policies, which are few, have keys of
    this operator too."""

    name = "item"

    def __init__(
        self,
        overall: View[Any],
        regional: View[Any],
        world: World,
        together: View[Any] | None = None,
        explored: View[Any] | None = None,
        linear: View[Any] | None = None,
    ) -> None:
        """Without one of the last three views, its signals change nothing."""
        self.world = world
        self._overall, self._regional = Aggregator(overall), Aggregator(regional)
        views = {TOGETHER: together, EXPLORED: explored, LINEAR: linear}
        self._others = {part: Aggregator(view) for part, view in views.items() if view is not None}
        self._linear = self._others[LINEAR].of_kind(LinearModel) if LINEAR in self._others else None

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        event = record.event
        if type(event) is Signal:
            if event.item_id != key:
                return ()
            part = PART_OF.get(event.event_type)
            if part is not None:
                return (part,) if part in self._others else ()
            return ("", event.region) if event.region else ("",)
        return ("",)

    def _of(self, part: str) -> Aggregator:
        return (self._others.get(part) or self._regional) if part else self._overall

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
        keys = (key, part) if part and part not in self._others else (policy_of(key) or key,)
        return Row(features.view.name, keys, features.values(state, at))

    def due(self, part: str, state: KeyedState, at: int) -> int | None:
        return self._of(part).due(state, at)

    def over(self, part: str, state: KeyedState, at: int) -> bool:
        """Models of policies end; what is known of an item stays."""
        if part != LINEAR or self._linear is None:
            return False
        place, model = self._linear
        return model.over(state.parts[place], at)

    def on_event(self, part: str, state: KeyedState, record: Record) -> list[Signal]:
        event = record.event
        if type(event) is Signal:
            state.watermark = max(state.watermark, event.timestamp)
            # No more of the event than this reaches the operator where nothing else is declared of items.
            signal = Signal(
                event.event_type, event.timestamp, event.item_id, event.region, event.partners, event.contexts,
                context=event.context,
            )  # fmt: skip
        elif type(event) is Item:
            signal = Signal("catalogue", state.watermark, event.item_id, subject=event)
        else:
            raise InvalidEvent(f"a {type(event).__name__} does not belong to an item")
        self._of(part).update(state, signal, self.world)
        return []
