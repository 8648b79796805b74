"""The replay driver: runs the operators over a log in event time, by the rules of the Flink adapter.

It holds the state of every key in memory and applies records in the order of the log. It emits the same rows as the job
with its event clock, and its final rows are those that the store must have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from feature_repo.views import user
from operators.contract import Operator, Record, Signal, Space
from operators.controls import NAMES as CONTROL_NAMES
from operators.controls import PART as CONTROLS
from operators.driver import Driver, Emit, States
from operators.shown import NAMES as SHOWN_NAMES
from operators.shown import PART as SHOWN
from operators.space import EmptySpace
from operators.time import END as END
from recommend.controls import with_interests
from schemas.errors import EventError, NoConsent
from schemas.events import Item, LabelledExample


class KnownItems:
    """The world of a replay: catalogue entries, and one embedding space."""

    def __init__(self, items: Iterable[Item] = (), space: Space | None = None) -> None:
        self.items = {item.item_id: item for item in items}
        self.space: Space = space or EmptySpace()

    def item(self, item_id: str) -> Item | None:
        return self.items.get(item_id)


class Dead(NamedTuple):
    """A rejected record, and the reason."""

    record: Record
    error: EventError


class Replay:
    """Applies records to the user operator, and its downstream signals to the item operator."""

    def __init__(
        self,
        user_operator: Operator[Any],
        item_operator: Operator[Any],
        emit: Emit | None = None,
        coalesce: bool = False,
        emits: Callable[[str], bool] = lambda part: True,
        on_example: Callable[[LabelledExample], None] | None = None,
        initial: Callable[[Operator[Any]], States] = lambda operator: States(),
    ) -> None:
        """`emit(row, at)` is called with every row in order, of the parts for which `emits(part)` is true;
        without it no rows are made, only states.

        With `coalesce`, rows are made at `finish` alone, one a part, as of after its last timer:
        the store ends the same, for a fraction of the work.

        `on_example(example)` is called with each labelled example, where the user operator attributes;
        `initial(operator)` gives the states that an operator starts from.
        """
        self.user_operator = user_operator
        self.item_operator = item_operator
        self._users, self._items = (
            Driver(operator, emit, coalesce, emits, on_example, initial(operator))
            for operator in (user_operator, item_operator)
        )
        self.users: States = self._users.states
        self.items: States = self._items.states
        """those of the item operator, whose keys are item ids and those of whatever else features are declared of"""
        self.dead: list[Dead] = []
        self._names = [f.name for f in user.fields]

    def feed(self, record: Record) -> list[Signal] | None:
        """Applies one record. Returns its downstream signals, or None where it was rejected."""
        event = record.event
        if isinstance(event, Item):
            self._items.take(event.item_id, record)
            return []
        assert not isinstance(event, Signal)
        try:
            signals = self._users.take(event.user_id, record)
        except EventError as error:
            if not isinstance(error, NoConsent):  # which the job counts, and keeps nothing of
                self.dead.append(Dead(record, error))
            return None
        for signal in signals:
            following = record._replace(event=signal)
            for key in self.user_operator.listeners(signal):
                self._items.take(key, following)
        return signals

    def finish(self, until: int | None = None) -> None:
        """Fires every timer still open, or those up to `until`, epoch ms: key by key, each key's in order."""
        self._users.finish(until)
        self._items.finish(until)

    def forget(self, at: int) -> None:
        """Drops the states that are empty by `at`, epoch ms, after emitting their last rows."""
        self._users.forget(at)
        self._items.forget(at)

    def user_row(self, user_id: str, at: int) -> dict[str, Any]:
        """Field name → value as of `at`, with the user's controls and what they were shown where there is any; the
        defaults of a user without events."""
        state = self.users.get((user_id, "")) or self.user_operator.new("")
        row = self.user_operator.row(user_id, "", state, at)
        found = dict(zip(self._names, row.values, strict=True))
        for part, names in ((CONTROLS, CONTROL_NAMES), (SHOWN, SHOWN_NAMES)):
            own = self.users.get((user_id, part))
            if own is not None:
                row = self.user_operator.row(user_id, part, own, at)
                found |= dict(zip(names, row.values, strict=True))
        return {**with_interests(found)}
