"""The adapter in event time: every emission is a function of the log alone.

Rows are written after each record and each timer rather than gathered, stepping as the replay driver
does (`operators.stepping`), so that the two can be compared emission by emission. Key by key the clock
is the key's own watermark; what is still due when a bounded log ends fires at Flink's last watermark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from operators.contract import Record
from operators.stepping import Emission, expire, step
from streams import wire
from streams.adapter import OperatorFunction

END_OF_LOG = 2**62


class EventClockFunction(OperatorFunction):
    """`OperatorFunction` for parity tests and bounded replays."""

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[Any]:
        key = ctx.get_current_key()
        entry = self._entry(key, 0, ctx)
        for part in sorted(self._stored_parts()):
            state = self._state(entry, part)
            since = self._operator.watermark(state)
            self._emit(expire(self._operator, key, part, state, since))
        yield from ()

    def _take(self, key: str, value: Any, records: list[Record], now: int, ctx: Any) -> list[Any]:
        entry = self._entry(key, now, ctx)
        heard: list[Any] = []
        for record in records:
            for part in self._operator.parts(record):
                state = self._state(entry, part)
                done = step(self._operator, key, part, state, record)
                self._snapshot.put(part, (self._operator.encode(state), self._operator.watermark(state)))
                self._emit(done.emissions)
                heard += [wire.news(event.item_id, [event], self._arrived_s) for event in done.forwarded]
        ctx.timer_service().register_event_time_timer(END_OF_LOG)
        return heard

    def _emit(self, emissions: Iterable[Emission]) -> None:
        self._sink.write([emission.row for emission in emissions])
