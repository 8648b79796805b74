"""The replay driver: the operators over a log, in event time, by the rules of the Flink adapter.

It holds the state of every key in memory and takes records in the order of the log. What it emits
is what the job in its event clock writes; what it holds at the end is what the store must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from feature_repo.views import user
from operators.contract import NO_ROW, Operator, Record, Row, Signal, Space
from operators.space import EmptySpace
from operators.stepping import apply, expire, step, timers
from operators.time import END as END
from schemas.errors import EventError
from schemas.events import Example, Item

Emit = Callable[[Row, int], None]
States = dict[tuple[str, str], Any]
"""by key and part"""


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
        user_operator: Operator[Any],
        item_operator: Operator[Any],
        emit: Emit | None = None,
        coalesce: bool = False,
        emits: Callable[[str], bool] = lambda part: True,
        tell: Callable[[Example], None] | None = None,
    ) -> None:
        """`emit(row, at)` hears of every row in order, of the parts that `emits` says; without it no row is made, only
        state.

        With `coalesce`, rows are made at `finish` alone, one a part, as of after its last timer:
        the store ends the same, for a fraction of the work.

        `tell(example)` hears of what comes of impressions, where the user operator attributes.
        """
        self.user_operator = user_operator
        self.item_operator = item_operator
        self.users: States = {}
        self.items: States = {}
        """those of the item operator, whose keys are item ids and those of whatever else features are declared of"""
        self.dead: list[Dead] = []
        self._emit = emit
        self._coalesce = coalesce
        self._emits = emits
        self._tell = tell
        self._names = [f.name for f in user.fields]

    def feed(self, record: Record) -> list[Signal] | None:
        """Takes one record in. Returns what followed from it, or None where it is dead."""
        event = record.event
        if isinstance(event, Item):
            self._take(self.item_operator, self.items, event.item_id, record)
            return []
        assert not isinstance(event, Signal)
        try:
            signals = self._take(self.user_operator, self.users, event.user_id, record)
        except EventError as error:
            self.dead.append(Dead(record, error))
            return None
        for signal in signals:
            following = record._replace(event=signal)
            for key in self.user_operator.listeners(signal):
                self._take(self.item_operator, self.items, key, following)
        return signals

    def finish(self, until: int | None = None) -> None:
        """Fires every timer still open, or those up to `until`, epoch ms: key by key, each key's in order."""
        for operator, states in ((self.user_operator, self.users), (self.item_operator, self.items)):
            for (key, part), state in states.items():
                self._expire(operator, key, part, state, until)

    def forget(self, at: int) -> None:
        """Drops what nothing is known of any more by `at`, epoch ms. Its last rows are emitted."""
        for operator, states in ((self.user_operator, self.users), (self.item_operator, self.items)):
            over = [(key, part) for (key, part), state in states.items() if operator.over(part, state, at)]
            for key, part in over:
                self._expire(operator, key, part, states.pop((key, part)), at)

    def user_row(self, user_id: str, at: int) -> dict[str, Any]:
        """Field name → value as of `at` (not before the user's watermark); a stranger's defaults."""
        state = self.users.get((user_id, "")) or self.user_operator.new("")
        row = self.user_operator.row(user_id, "", state, at)
        return dict(zip(self._names, row.values, strict=True))

    def _take(self, operator: Operator[Any], states: States, key: str, record: Record) -> list[Signal]:
        def one(part: str, record: Record) -> list[Signal] | None:
            found = states.get((key, part))
            state = operator.new(part) if found is None else found
            if self._emit is None or self._coalesce or not self._emits(part):
                signals = operator.on_event(part, state, record)
                if self._tell:
                    self._tell_all(operator.on_timer(part, state, operator.watermark(state)))
            else:
                done = step(operator, key, part, state, record)
                for row, at in done.emissions:
                    self._emit(row, at)
                self._tell_all(done.examples)
                signals = done.forwarded
            if found is None and signals is not None:
                states[key, part] = state
            return signals

        return apply(operator, key, record, one)

    def _tell_all(self, examples: Iterable[Example]) -> None:
        if self._tell:
            for example in examples:
                self._tell(example)

    def _expire(self, operator: Operator[Any], key: str, part: str, state: Any, until: int | None) -> None:
        self._tell_all(operator.on_timer(part, state, END if until is None else until))
        if self._emit is None or not self._emits(part):
            return
        since = operator.watermark(state)
        if not self._coalesce:
            for row, at in expire(operator, key, part, state, since, until):
                self._emit(row, at)
            return
        last = max(timers(operator, part, state, since, until), default=since)
        row = operator.row(key, part, state, last)
        if row is not NO_ROW:
            self._emit(row, last)
