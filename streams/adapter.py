"""Runs an operator in Flink: the base of the two functions in streams/functions.py.

    on-time element ─► state in memory ──────────────────────────────────────┐
    late element ─► state in memory, element into the tail ┐                 ├─► changed rows, one round trip
    late element ─► state in memory, element into the tail ┼ flush timer ────┼─► downstream signals; examples; archive
    timer        ─► row that time changes ─────────────────┘                 └─► changed cells into Flink's state

An event is applied to a decoded state in memory. Flink keeps of a key the cells of its state as of when its rows were
last written, and the *tail*: the elements taken since. On-time events are flushed immediately, since a tail and a timer
would cost as much as the row. Rows of items, and rows that late events change, are flushed together: a changed key has
a processing-time timer at the next flush time. All timers of one flush time fire between two checkpoints, so that no
checkpoint has an element both in a tail and in written rows: after a restore the tail is applied again, and everything
that follows is emitted once. Rows are absolute: writing one twice changes nothing. That of part "" is a key's last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor

from feature_repo import registry
from feature_repo.repository import Repository
from operators.contract import NO_ROW, Operator, Record, Row, Signal, World, owner
from operators.item import SENT
from operators.stepping import LINGERS, apply, deleted, refuse
from schemas.clock import now_ms
from schemas.errors import EventError, NoConsent
from schemas.events import LabelledExample
from streams import examples, flink_rows, interpreter, wire, world
from streams.backfilled import Backfilled
from streams.counts import PUBLISH_MS, JobCounters
from streams.entry import Entries, Entry
from streams.flushing import Flushing
from streams.saved import SavedCells
from streams.settings import JobSettings
from streams.sinks import FileSink, RowSink, StoreSink

WRITTEN_AT_ONCE = 1000
"""keys whose rows are in memory, and on their way to the store and the archive, at a time"""


class OperatorFunction(KeyedProcessFunction):  # type: ignore[misc]
    """Runs one operator. A subclass says which, when its rows are flushed, and what else leaves with them."""

    name: ClassVar[str]

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings

    def open(self, context: RuntimeContext) -> None:
        interpreter.share()
        settings = self._settings
        declared = registry.load(settings.definitions)
        self._operator = self.operator(world.shared(settings.connection, settings.bundles), declared, now_ms())
        self._flushing = self.flushing()
        self._backfilled = Backfilled(settings.backfilled, self.name)
        self._sent = None if declared.others else SENT
        pickled = Types.PICKLED_BYTE_ARRAY()  # Flink's converter turns any other byte array into a tuple of numbers
        self._saved = SavedCells(context.get_map_state(MapStateDescriptor("parts", Types.STRING(), pickled)), self.name)
        self._tail = context.get_list_state(ListStateDescriptor("tail", pickled))
        self._sink: RowSink = (
            FileSink(settings.rows_to)
            if settings.rows_to
            else StoreSink(settings.feature_store, declared, settings.redis_access)
        )
        self._entries = Entries(settings.cached_keys)
        self._due: defaultdict[int, list[str]] = defaultdict(list)
        """flush time → keys"""
        self._counts = JobCounters(context.get_metrics_group().add_group("freshet").add_group(self.name))
        self._counts.add("row_conversion", flink_rows.install())

    # -- what a subclass says --------------------------------------------------------------------

    def operator(self, found: World, declared: Repository, now: int) -> Operator[Any]:
        raise NotImplementedError

    def flushing(self) -> Flushing:
        raise NotImplementedError

    def paced(self, behind_ms: int) -> None:
        """An element was taken so many ms after the broker had it."""

    def taken(self, entry: Entry, record: Record) -> None:
        """A record has been applied."""

    def withholds(self, key: str, now: int, ctx: Any) -> bool:
        """Whether the key is a person without consent, of whose messages no dead letter holds anything."""
        return False

    def flushed(self, entries: Sequence[Entry], rows: Sequence[Row]) -> Iterable[Any]:
        """What leaves with these rows, beside downstream signals and examples."""
        return ()

    def backfilled(self, epoch: int) -> bool:
        """Whether the current backfill has read what was put into a tail while that of `epoch` was in use."""
        return False

    # -- Flink -----------------------------------------------------------------------------------

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterable[Any]:
        now = now_ms()
        key, *_, arrived = message = tuple(value)  # each access to a Flink row is a call
        self._counts.publish(now)
        self.paced(self._flushing.read(arrived, now))
        try:
            records = wire.records(message, now)
        except EventError as error:
            return self._refused(message, error, self.withholds(key, now, ctx))
        entry = self._entry(key, now, ctx)
        entry.arrived = max(entry.arrived, arrived)
        refused: Iterable[Any] = ()
        try:
            self._apply(key, entry, records)
            self._counts.add("accepted", len(records))
        except EventError as error:
            refused = self._refused(message, error)
            if not entry.changed:
                return refused
        return chain(refused, self._take(key, entry, message, now, ctx))

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        keys = self._due.pop(timestamp, None)
        if keys is not None:
            self._flushing.rest()
            yield from self._flush(self._entries.due(keys, timestamp), now_ms())
            self._flushing.idle_from(now_ms())
        key, now = ctx.get_current_key(), now_ms()
        self._counts.publish(now, at_once=True)
        entry = self._entry(key, now, ctx)
        if entry.unsaved or entry.dropped:
            self._save(entry, ctx)
        for part in [part for part, due in entry.due.items() if due <= timestamp]:
            del entry.due[part]
            if part not in entry.changed and self._operator.over(part, entry.states[part], timestamp - LINGERS):
                entry.states.pop(part)
                self._saved.drop(part, entry.saved.pop(part, {}))
            else:
                entry.changed.add(part)
        self._schedule(key, entry, now, ctx)

    def close(self) -> None:
        self._counts.publish(now_ms(), at_once=True)
        self._backfilled.close()

    def _take(self, key: str, entry: Entry, message: Sequence[Any], now: int, ctx: Any) -> Iterable[Any]:
        """What leaves immediately of an applied element."""
        if self._flushing.immediately:
            return self._flush_one(key, entry, now, ctx)
        self._schedule(key, entry, now, ctx)
        self._tail.add((self._backfilled.epoch, *message))
        entry.tail = True
        return ()

    def _apply(self, key: str, entry: Entry, records: Iterable[Record]) -> None:
        """Applies records in memory. Raises EventError where the operator refuses one."""
        operator, changed_parts = self._operator, entry.changed

        def one(part: str, record: Record) -> list[Signal] | None:
            signals = operator.on_event(part, entry.state(part, operator), record)
            if signals is not None:
                changed_parts.add(part)
            return signals

        if not records:  # a message of a refresh topic: all rows of the key are written again
            changed_parts.update(entry.states)
        for record in records:
            try:
                entry.downstream += apply(operator, key, record, one, lambda: entry.states, entry.drop)
            except EventError:
                changed_parts.update(refuse(operator, key, record, entry.states))
                raise
            self.taken(entry, record)

    def _entry(self, key: str, now: int, ctx: Any) -> Entry:
        """The key's entry, most recently used from now on; read from Flink's state where memory has none."""
        entry = self._entries.find(key)
        if entry is not None:
            return entry
        entry = Entry()
        for part, (cells, at) in self._saved.load(self._operator.owners).items():
            entry.saved[part] = cells
            state = entry.states[part] = self._operator.decode(part, cells)
            due = self._due_at(part, state, at)
            if due is not None:  # there is no timer where an earlier one was known when that row was written
                entry.due[part] = due
                ctx.timer_service().register_processing_time_timer(due)
        tail = list(self._tail.get() or ())
        entry.tail = bool(tail)
        first = next((n for n, each in enumerate(tail) if not self.backfilled(each[0])), len(tail))
        self._again(key, entry, tail[:first], now)
        self._adopt(key, entry)
        self._again(key, entry, tail[first:], now)
        for part in self._operator.dropped(key, entry.states):
            entry.drop(part)
        self._schedule(key, entry, now, ctx)
        self._entries.keep(key, entry)
        return entry

    def _again(self, key: str, entry: Entry, elements: Iterable[Any], now: int) -> None:
        """Applies elements of a tail. One that is refused now (the allowed lateness is another) is only counted."""
        for _, *value in elements:
            entry.arrived = max(entry.arrived, value[5])
            try:
                self._apply(key, entry, wire.records(value, now))
            except EventError as error:
                self._counts.add(f"refused_later.{error.reason}")

    def _adopt(self, key: str, entry: Entry) -> None:
        """Takes the key's backfilled states, if any. Their rows are written: fields may be new that have no state."""
        for part, cells in self._backfilled.of(key):
            if owner(part) not in self._operator.owners:
                continue
            if part in entry.states:
                self._operator.adopt(part, entry.states[part], cells, entry.saved.get(part))
            else:
                entry.states[part] = self._operator.decode(part, cells)
            entry.changed.add(part)

    def _schedule(self, key: str, entry: Entry, now: int, ctx: Any) -> None:
        """Sees to a timer for the flush of changed rows, or to an earlier one, where events are less late by now."""
        if (entry.changed or entry.deleted) and self._flushing.too_late(entry.flush_at, now, entry.changed):
            entry.flush_at = self._flushing.after(now, entry.changed)
            self._due[entry.flush_at].append(key)
            ctx.timer_service().register_processing_time_timer(entry.flush_at)

    def _refused(self, value: Any, error: EventError, withheld: bool = False) -> Iterator[Any]:
        """The dead letter of a refused message, where it has one."""
        if isinstance(error, NoConsent):
            self._counts.add(error.reason)
            return
        self._counts.add(f"dead.{error.reason}")
        yield wire.dead_letter(value, error, withheld)

    def _flush_one(self, key: str, entry: Entry, now: int, ctx: Any) -> Iterator[Any]:
        yield from self._flush([(key, entry)], now)
        self._save(entry, ctx)
        if self._counts.awaited(now):  # the last ones before a pause
            ctx.timer_service().register_processing_time_timer(now + PUBLISH_MS)

    def _flush(self, leaving: Sequence[tuple[str, Entry]], now: int) -> Iterator[Any]:
        self._entries.forget_idle()
        downstream: defaultdict[str, list[Signal]] = defaultdict(list)
        arrived: dict[str, int] = {}
        for start in range(0, len(leaving), WRITTEN_AT_ONCE):
            some = leaving[start : start + WRITTEN_AT_ONCE]
            rows: list[Row] = []
            closed: list[LabelledExample] = []
            for key, entry in some:
                for signal in entry.downstream:
                    for listener in self._operator.listeners(signal):
                        downstream[listener].append(signal)
                        arrived[listener] = max(arrived.get(listener, 0), entry.arrived)
                rows += self._rows(key, entry, now, closed)
            self._sink.write(rows)  # first: it is what a click waits for
            self._counts.add("rows", len(rows))
            self._counts.add("writes")
            yield from self.flushed([entry for _, entry in some], rows)
            for _, entry in some:
                entry.flushed()
            yield from examples.out(closed, self._counts)
        for listener, signals in downstream.items():
            yield from wire.all_downstream(listener, signals, self._sent, arrived[listener])

    def _rows(self, key: str, entry: Entry, now: int, closed: list[LabelledExample]) -> Iterator[Row]:
        yield from deleted(self._operator, key, entry.deleted)
        for part in entry.changed if len(entry.changed) == 1 else sorted(entry.changed, reverse=True):  # "" is last
            state = entry.states[part]
            closed += self._operator.on_timer(part, state, now)
            cells = self._operator.encode(part, state)
            entry.encoded(part, cells, now)
            row = self._operator.row(key, part, state, now, cells)
            if row is not NO_ROW:
                yield row

    def _save(self, entry: Entry, ctx: Any) -> None:
        """Puts what was flushed into Flink's state, which is the current key's: each key's own timer does it."""
        for part, cells in entry.dropped.items():
            self._saved.drop(part, cells)
        entry.dropped = {}
        self._saved.put({part: (cells, entry.saved[part], at) for part, (cells, at) in entry.unsaved.items()})
        for part, (_, at) in entry.unsaved.items():
            # As of the row: writing it took time, in which it may have come due.
            due, state = self._due_at(part, entry.states[part], at), entry.states[part]
            if due is not None and (due < entry.due.get(part, due + 1) or self._operator.over(part, state, at)):
                entry.due[part] = due
                ctx.timer_service().register_processing_time_timer(due)
        entry.unsaved = {}
        if entry.tail:
            self._tail.clear()
            entry.tail = False

    def _due_at(self, part: str, state: Any, at: int) -> int | None:
        """When the row of `at` changes by itself; where the state is over, when it is dropped."""
        return at + LINGERS if self._operator.over(part, state, at) else self._operator.due(part, state, at)
