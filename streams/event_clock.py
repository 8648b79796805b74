"""The functions in event time: every emission is a function of the log alone.

Rows are written after each record and each timer rather than together, stepping as the replay driver
does (`operators.stepping`), so that the two can be compared emission by emission. Key by key the clock
is the key's own watermark; what is still due when a bounded log ends fires at Flink's last watermark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from operators.contract import Record, Signal
from operators.stepping import Emission, apply, deleted, expire, refuse, step
from operators.time import END
from schemas.errors import EventError
from streams import examples, wire
from streams.adapter import OperatorFunction
from streams.entry import Entry
from streams.functions import ItemFunction, UserFunction


class EventClock(OperatorFunction):
    """What makes an `OperatorFunction` one for parity tests and bounded replays."""

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        key = value[0]
        entry = self._entry(key, 0, ctx)
        try:
            for record in wire.records(value):
                yield from self._step(key, entry, record, value[5])
        except EventError as error:
            yield from self._refused(value, error)
        ctx.timer_service().register_event_time_timer(END)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[Any]:
        if timestamp < END:
            return  # of the wall clock, by which nothing is due here
        key = ctx.get_current_key()
        entry = self._entry(key, 0, ctx)
        for part in sorted(self._saved.load(self._operator.owners)):
            state = entry.state(part, self._operator)
            since = self._operator.watermark(state)
            self._emit(expire(self._operator, key, part, state, since))
            yield from examples.out(self._operator.on_timer(part, state, END), self._counts)

    def _step(self, key: str, entry: Entry, record: Record, arrived: int) -> Iterator[Any]:
        operator = self._operator
        out: list[Any] = []

        def one(part: str, record: Record) -> list[Signal] | None:
            state = entry.state(part, self._operator)
            done = step(operator, key, part, state, record)
            if done.forwarded is None:
                return None
            self._put(part, state)
            self._emit(done.emissions)
            out.extend(examples.out(done.examples, self._counts))
            return done.forwarded

        def drop(part: str) -> None:
            entry.drop(part)
            entry.dropped, entry.deleted = {}, set()
            cells, _ = self._saved.load(self._operator.owners).get(part, ({}, 0))
            self._saved.drop(part, cells)
            self._sink.write(deleted(operator, key, [part]))

        try:
            signals = apply(operator, key, record, one, lambda: entry.states, drop)
        except EventError:
            for part in refuse(operator, key, record, entry.states):
                self._put(part, entry.states[part])
            raise
        yield from out
        for signal in signals:
            for listener in operator.listeners(signal):
                yield wire.downstream(listener, [signal], self._sent, arrived)

    def _put(self, part: str, state: Any) -> None:
        cells = self._operator.encode(part, state)
        self._saved.put({part: (cells, cells, self._operator.watermark(state))})

    def _emit(self, emissions: Sequence[Emission]) -> None:
        if emissions:
            self._sink.write([emission.row for emission in emissions])


class UserEventClock(EventClock, UserFunction):
    """The user operator in event time."""


class ItemEventClock(EventClock, ItemFunction):
    """The item operator in event time."""
