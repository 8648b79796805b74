"""The one adapter that runs an operator in Flink.

Every accepted event updates keyed state at once, so a checkpoint holds exactly the events before it.
Writing to the store comes later: the changed part is remembered, a processing-time timer is set for the
key at the next boundary, and the first timer to fire writes everything remembered in one round trip.
Timers are part of a checkpoint. After a restore a timer finds nothing remembered for its key and writes
the row from state, so no change is lost; as rows are absolute, writing one twice is harmless.

Decoded states are cached between events: reading one back from Flink costs more than applying an event.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from feature_repo.views import item_operator, user_operator
from operators.contract import Operator, Record
from operators.time import hours
from schemas.errors import EventError
from streams import wire, world
from streams.settings import JobSettings
from streams.sinks import FileSink, RowSink, StoreSink

log = logging.getLogger(__name__)

WRITING_SHARE = {"user": 0.35, "item": 0.1}
"""of the time that an operator may spend writing rows; above it, boundaries move apart, so that a
backlog is worked off with fewer, larger writes of rows that changed several times in between"""

LONGEST_INTERVAL_MS = 10_000

SWITCH_S = 0.0002
"""Both operators run as threads of one interpreter. Each returns to Java after every event, and with Python's default
of 5 ms would then wait as long for a turn, while the other writes rows."""


class Entry:
    """What is kept in memory of one key: decoded states by part, and when each next changes by itself."""

    __slots__ = ("due", "states")

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.due: dict[str, int] = {}


class OperatorFunction(KeyedProcessFunction):  # type: ignore[misc]
    """Runs the operator called `name` ("user" or "item")."""

    def __init__(self, name: str, settings: JobSettings) -> None:
        self._name = name
        self._settings = settings

    def open(self, context: RuntimeContext) -> None:
        sys.setswitchinterval(SWITCH_S)
        settings = self._settings
        found = world.shared(settings.kafka, settings.bundles)
        self._operator: Operator[Any] = (
            user_operator(found, hours(settings.allowed_lateness_hours))
            if self._name == "user"
            else item_operator(found)
        )
        # Flink's converter turns a byte array into a tuple of numbers; pickled bytes stay bytes.
        self._parts = context.get_map_state(MapStateDescriptor("parts", Types.STRING(), Types.PICKLED_BYTE_ARRAY()))
        self._sink: RowSink = FileSink(settings.rows_to) if settings.rows_to else StoreSink(settings.feature_store)
        self._base_ms = settings.write_ms if self._name == "user" else settings.item_write_ms
        self._interval_ms = self._base_ms
        self._entries: dict[str, Entry] = {}
        self._pending: dict[str, set[str]] = {}
        self._tally: dict[str, int] = {}
        self._metrics = context.get_metrics_group().add_group("freshet").add_group(self._name)
        self._counters: dict[str, Any] = {}

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        try:
            record = wire.record(value)
            key = value[0]
            entry = self._entry(key)
            news = self._apply(key, entry, record, ctx)
        except EventError as error:
            self._count(f"dead.{error.reason}")
            yield wire.dead_letter(value, error)
            return
        self._count("accepted")
        for event in news:
            yield wire.news(event)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        key = ctx.get_current_key()
        entry = self._entries.get(key)
        if entry is None:  # restored or evicted: what this timer was for is in state alone
            entry = self._entry(key)
            changed = set(self._load_all(entry))
        else:
            changed = {part for part, due in entry.due.items() if due <= timestamp}
        if changed:
            self._pending.setdefault(key, set()).update(changed)
            for part in changed:
                entry.due.pop(part, None)
                self._set_due(entry, part, timestamp, ctx)
        if self._pending:
            yield from self._write_pending()

    def close(self) -> None:
        self._publish_counts()

    # -- state ---------------------------------------------------------------------------------

    def _entry(self, key: str) -> Entry:
        entries = self._entries
        entry = entries.pop(key, None) or Entry()
        entries[key] = entry  # most recently used last
        if len(entries) > self._settings.cached_keys:
            oldest = next((k for k in entries if k not in self._pending), None)
            if oldest is not None:  # a backlog may leave nothing but keys whose rows are yet to be written
                del entries[oldest]
        return entry

    def _state(self, entry: Entry, part: str) -> Any:
        state = entry.states.get(part)
        if state is None:
            blob = self._parts.get(part)
            state = self._operator.new(part) if blob is None else self._operator.decode(part, blob)
            entry.states[part] = state
        return state

    def _load_all(self, entry: Entry) -> list[str]:
        parts = [str(part) for part in self._parts.keys()]  # noqa: SIM118 (a state, not a dict)
        for part in parts:
            self._state(entry, part)
        return parts

    def _apply(self, key: str, entry: Entry, record: Record, ctx: Any) -> list[Any]:
        operator = self._operator
        now = int(time.time() * 1000)
        news: list[Any] = []
        for part in operator.parts(record):
            state = self._state(entry, part)
            news += operator.on_event(state, record)
            self._parts.put(part, operator.encode(state))
            self._set_due(entry, part, now, ctx)
            pending = self._pending.get(key)
            if pending is None:
                self._pending[key] = {part}
                interval = self._interval_ms
                boundary = (now // interval + 1) * interval
                ctx.timer_service().register_processing_time_timer(boundary)
            else:
                pending.add(part)
        return news

    def _set_due(self, entry: Entry, part: str, now: int, ctx: Any) -> None:
        """Sees to a timer for when the part's row next changes by itself (a tile or session ends)."""
        due = self._operator.due(part, entry.states[part], now)
        if due is not None and due < entry.due.get(part, due + 1):
            entry.due[part] = due
            ctx.timer_service().register_processing_time_timer(due)

    # -- writing -------------------------------------------------------------------------------

    def _write_pending(self) -> Iterator[Any]:
        started = time.time()
        now = int(started * 1000)
        row = self._operator.row
        rows = [
            row(key, part, self._entries[key].states[part], now)
            for key, parts in self._pending.items()
            for part in parts
        ]
        self._sink.write(rows)
        self._pending.clear()
        took_ms = (time.time() - started) * 1000
        self._interval_ms = min(LONGEST_INTERVAL_MS, max(self._base_ms, int(took_ms / WRITING_SHARE[self._name])))
        self._count("rows", len(rows))
        self._count("writes")
        self._publish_counts()
        if self._name == "item":
            for found in rows:
                yield wire.features(found)

    # -- metrics -------------------------------------------------------------------------------

    def _count(self, name: str, n: int = 1) -> None:
        self._tally[name] = self._tally.get(name, 0) + n

    def _publish_counts(self) -> None:
        """Counts go to Flink once a write: a call into the JVM an event would cost more than the event."""
        for name, n in self._tally.items():
            if name not in self._counters:
                self._counters[name] = self._metrics.counter(name)
            self._counters[name].inc(n)
        self._tally.clear()
