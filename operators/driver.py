"""Runs one operator over a log in event time, with the states of all keys in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from operators.contract import NO_ROW, Operator, Record, Row, Signal
from operators.stepping import apply, deleted, expire, refuse, step, timers
from operators.time import END
from schemas.errors import EventError
from schemas.events import LabelledExample

Emit = Callable[[Row, int], None]


class States(dict[tuple[str, str], Any]):
    """States by key and part."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def __setitem__(self, place: tuple[str, str], state: Any) -> None:
        super().__setitem__(place, state)
        key, part = place
        self._parts[key][part] = None

    def __delitem__(self, place: tuple[str, str]) -> None:
        super().__delitem__(place)
        key, part = place
        del self._parts[key][part]
        if not self._parts[key]:
            del self._parts[key]

    def of(self, key: str) -> dict[str, Any]:
        """The key's states by part."""
        return {part: self[key, part] for part in self._parts.get(key, ())}

    def clear(self) -> None:
        super().clear()
        self._parts.clear()


class Driver:
    """Applies records to the parts that they change. `training.replay.Replay` documents the arguments."""

    def __init__(
        self,
        operator: Operator[Any],
        emit: Emit | None = None,
        coalesce: bool = False,
        emits: Callable[[str], bool] = lambda part: True,
        tell: Callable[[LabelledExample], None] | None = None,
        states: States | None = None,
    ) -> None:
        self.operator = operator
        self.states = States() if states is None else states
        self._emit = emit
        self._coalesce = coalesce
        self._emits = emits
        self._tell = tell

    def take(self, key: str, record: Record) -> list[Signal]:
        """Applies one record and returns its signals. Raises EventError, with all features unchanged, where the record
        is rejected."""
        operator, states = self.operator, self.states

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

        def drop(part: str) -> None:
            at = operator.watermark(states[key, part])
            del states[key, part]
            if self._emit and not self._coalesce and self._emits(part):
                for row in deleted(operator, key, [part]):
                    self._emit(row, at)

        try:
            return apply(operator, key, record, one, lambda: states.of(key), drop)
        except EventError:
            parts = operator.parts(key, record)
            own = {part: found for part in parts if (found := states.get((key, part))) is not None}
            for part in refuse(operator, key, record, own):
                states[key, part] = own[part]
            raise

    def finish(self, until: int | None = None) -> None:
        """Fires every remaining timer, or those up to `until`, epoch ms: key by key, each key's in order."""
        for (key, part), state in self.states.items():
            self._expire(key, part, state, until)

    def forget(self, at: int) -> None:
        """Drops the states that are over by `at`, epoch ms, after emitting their last rows."""
        states = self.states
        for key, part in [found for found, state in states.items() if self.operator.over(found[1], state, at)]:
            self._expire(key, part, states[key, part], at)
            del states[key, part]

    def _tell_all(self, examples: Iterable[LabelledExample]) -> None:
        if self._tell:
            for example in examples:
                self._tell(example)

    def _expire(self, key: str, part: str, state: Any, until: int | None) -> None:
        operator = self.operator
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
