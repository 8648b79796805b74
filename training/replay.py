"""The replay driver: the operators over a log, in event time, by the rules of the Flink adapter.

It holds the state of every key in memory and takes records in the order of the log. What it emits
is what the job in its event clock writes; what it holds at the end is what the store must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from operators.contract import ItemEvent, Operator, Record, Row, Space
from operators.keyed import ItemOperator, KeyedState, UserOperator
from operators.space import EmptySpace
from operators.stepping import expire, step, timers
from schemas.errors import EventError
from schemas.events import Item

Emit = Callable[[Row, int], None]


class Catalogue:
    """The world of a replay: the items told so far, and one embedding space."""

    def __init__(self, items: Iterable[Item] = (), space: Space | None = None) -> None:
        self.items = {item.item_id: item for item in items}
        self.space: Space = space or EmptySpace()

    def item(self, item_id: str) -> Item | None:
        return self.items.get(item_id)

    def put(self, item: Item) -> None:
        """Takes a catalogue entry in, instead of an earlier one."""
        self.items[item.item_id] = item


class Dead(NamedTuple):
    """A record that was not taken, and why."""

    record: Record
    error: EventError


class Replay:
    """Feeds records to the user operator, and what it forwards to the item operator."""

    def __init__(
        self,
        user_operator: UserOperator,
        item_operator: ItemOperator,
        emit: Emit | None = None,
        coalesce: bool = False,
    ) -> None:
        """`emit(row, at)` hears of every row in order; without it no row is made, only state.

        With `coalesce`, rows are made at `finish` alone, one a part, as of after its last timer:
        the store ends the same, for a fraction of the work.
        """
        self.user_operator = user_operator
        self.item_operator = item_operator
        self.users: dict[str, KeyedState] = {}
        self.items: dict[tuple[str, str], KeyedState] = {}
        """state by (item id, part); part "" is the overall one, any other a region"""
        self.dead: list[Dead] = []
        self._emit = emit
        self._coalesce = coalesce
        self._names = [f.name for f in user_operator.view.fields]

    def feed(self, record: Record) -> list[ItemEvent] | None:
        """Takes one record in. Returns what the item operator heard, or None where it is dead."""
        event = record.event
        if isinstance(event, (Item, ItemEvent)):
            self._feed_item(event.item_id, record)
            return []
        state = self.users.get(event.user_id)
        fresh = state is None
        state = self.user_operator.new() if state is None else state
        try:
            forwarded = self._apply(self.user_operator, event.user_id, "", state, record)
        except EventError as error:
            self.dead.append(Dead(record, error))
            return None
        if fresh:
            self.users[event.user_id] = state
        for news in forwarded:
            self._feed_item(news.item_id, record._replace(event=news))
        return forwarded

    def finish(self) -> None:
        """Fires every timer still open, key by key, each key's in order."""
        for user_id, state in self.users.items():
            self._expire(self.user_operator, user_id, "", state)
        for (item_id, part), state in self.items.items():
            self._expire(self.item_operator, item_id, part, state)

    def user_row(self, user_id: str, at: int) -> dict[str, Any]:
        """Field name → value as of `at` (not before the user's watermark); a stranger's defaults."""
        state = self.users.get(user_id) or self.user_operator.new()
        row = self.user_operator.row(user_id, "", state, at)
        return dict(zip(self._names, row.values, strict=True))

    def _feed_item(self, item_id: str, record: Record) -> None:
        for part in self.item_operator.parts(record):
            state = self.items.get((item_id, part))
            if state is None:
                state = self.items[item_id, part] = self.item_operator.new(part)
            self._apply(self.item_operator, item_id, part, state, record)

    def _apply(
        self, operator: Operator[Any], key: str, part: str, state: KeyedState, record: Record
    ) -> list[ItemEvent]:
        if self._emit is None or self._coalesce:
            return operator.on_event(state, record)
        done = step(operator, key, part, state, record)
        for row, at in done.emissions:
            self._emit(row, at)
        return done.forwarded

    def _expire(self, operator: Operator[Any], key: str, part: str, state: KeyedState) -> None:
        if self._emit is None:
            return
        since = operator.watermark(state)
        if not self._coalesce:
            for row, at in expire(operator, key, part, state, since):
                self._emit(row, at)
            return
        last = max(timers(operator, part, state, since), default=since)
        self._emit(operator.row(key, part, state, last), last)
