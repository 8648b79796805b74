"""The adapter in event time: every emission is a function of the log alone.

Rows are written after each record and each timer rather than gathered, stepping as the replay driver
does (`operators.stepping`), so that the two can be compared emission by emission. Key by key the clock
is the key's own watermark; what is still due when a bounded log ends fires at Flink's last watermark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from operators.contract import Record, Signal
from operators.stepping import Emission, apply, expire, step
from operators.time import END
from streams import examples, wire
from streams.adapter import OperatorFunction


class EventClockFunction(OperatorFunction):
    """`OperatorFunction` for parity tests and bounded replays."""

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[Any]:
        if timestamp < END:
            return  # of the wall clock, by which nothing is due here
        key = ctx.get_current_key()
        entry = self._entry(key, 0, ctx)
        for part in sorted(self._stored_parts()):
            state = self._state(entry, part)
            since = self._operator.watermark(state)
            self._emit(expire(self._operator, key, part, state, since))
            yield from examples.out(self._operator.on_timer(part, state, END), self._counts)

    def _take(self, key: str, value: Any, records: list[Record], now: int, ctx: Any) -> list[Any]:
        entry = self._entry(key, now, ctx)
        heard: list[Any] = []
        operator = self._operator

        def one(part: str, record: Record) -> list[Signal] | None:
            state = self._state(entry, part)
            done = step(operator, key, part, state, record)
            if done.forwarded is None:
                return None
            self._snapshot.put(part, (operator.encode(part, state), operator.watermark(state)))
            self._emit(done.emissions)
            heard.extend(examples.out(done.examples, self._counts))
            return done.forwarded

        for record in records:
            for signal in apply(operator, key, record, one):
                heard += [
                    wire.news(listener, [signal], self._sent, self._boundaries.arrived)
                    for listener in operator.listeners(signal)
                ]
        ctx.timer_service().register_event_time_timer(END)
        return heard

    def _emit(self, emissions: Sequence[Emission]) -> None:
        if emissions:
            self._sink.write([emission.row for emission in emissions])
