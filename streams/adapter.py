"""The one adapter that runs an operator in Flink.

    element in time ─► state in memory ────────────────────────────────┐
    element ─► state in memory, element into the tail ┐                ├─► rows of changed keys, one round trip
    element ─► state in memory, element into the tail ┼ boundary timer ┼─► news, one message a key; examples
    timer   ─► row changed by itself ─────────────────┘                └─► state into the snapshot, tail emptied

An event is applied to a decoded state in memory at once. What Flink keeps of a key is the state as it was when its
row was last written (the snapshot) and the elements taken since (the tail). What a person does in time leaves at once:
a click waits for nothing, and a tail and a timer would cost as much as its row. Of items, and where events are late,
many are taken before a row is written: a key whose row has changed has a processing-time timer at the next boundary,
and everything leaves then. The timers of a boundary fire in one go, between two checkpoints, so what has left and what
is still in a tail never overlap: after a restore the tail is applied again, and what follows from it leaves once.
Rows are absolute, so that writing one twice is harmless.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyflink.common import Row as FlinkRow
from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor

from feature_repo import registry
from feature_repo.views import item_operator, served, user_operator
from operators.contract import NO_ROW, Operator, Record, Row, Signal, owner
from operators.keyed import SENT
from operators.stepping import LINGERS, apply
from schemas.errors import EventError
from schemas.events import Example
from streams import archive, examples, interpreter, wire, world
from streams.boundaries import SPREAD, Boundaries
from streams.counts import PUBLISH_MS, Counts
from streams.entry import Entries, Entry
from streams.seeds import Seeds
from streams.settings import JobSettings
from streams.sinks import FileSink, RowSink, StoreSink

log = logging.getLogger(__name__)

WRITTEN_AT_ONCE = 1000
"""rows of so many keys are in memory, and on their way to the store and the archive, at once"""


def now_ms() -> int:
    """Epoch ms."""
    return time.time_ns() // 1_000_000


class OperatorFunction(KeyedProcessFunction):  # type: ignore[misc]
    """Runs the operator called `name` ("user" or "item")."""

    def __init__(self, name: str, settings: JobSettings) -> None:
        self._name = name
        self._settings = settings

    def open(self, context: RuntimeContext) -> None:
        interpreter.share()
        settings = self._settings
        found = world.shared(settings.kafka, settings.bundles)
        declared = registry.load(settings.definitions)
        self._operator: Operator[Any] = (
            user_operator(found, settings.lateness, declared, settings.attribution(now_ms()))
            if self._name == "user"
            else item_operator(found, declared)
        )
        self._seeds = Seeds(settings.seeds, self._name)
        self._archives = self._name == "user" and settings.archives
        self._sent = None if declared.others else SENT
        self._served = served(declared)
        # Flink's converter turns a byte array into a tuple of numbers; pickled bytes stay bytes.
        pickled = Types.PICKLED_BYTE_ARRAY()
        self._snapshot = context.get_map_state(MapStateDescriptor("parts", Types.STRING(), pickled))
        self._tail = context.get_list_state(ListStateDescriptor("tail", pickled))
        self._sink: RowSink = (
            FileSink(settings.rows_to) if settings.rows_to else StoreSink(settings.feature_store, declared)
        )
        self._boundaries = (
            Boundaries(settings.write_ms, now_ms(), eager=True)
            if self._name == "user"
            else Boundaries(settings.item_write_ms, now_ms(), SPREAD)
        )
        self._entries = Entries(settings.cached_keys)
        self._leaving: defaultdict[int, list[str]] = defaultdict(list)
        self._counts = Counts(context.get_metrics_group().add_group("freshet").add_group(self._name))

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        key = value[0]
        try:
            records = wire.records(value)
            now = self._pace(value)
            left = self._take(key, value, records, now, ctx)
        except EventError as error:
            self._counts.add(f"dead.{error.reason}")
            yield wire.dead_letter(value, error)
            return
        self._counts.add("accepted", len(records))
        yield from left

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        keys = self._leaving.pop(timestamp, None)
        if keys is not None:
            self._boundaries.rest()
            yield from self._leave(self._entries.due(keys, timestamp), now_ms())
        key, now = ctx.get_current_key(), now_ms()
        self._counts.publish(now, at_once=True)
        entry = self._entry(key, now, ctx)
        if entry.unsaved:
            self._save(entry, ctx)
        for part in [part for part, due in entry.due.items() if due <= timestamp]:
            del entry.due[part]
            if part not in entry.changed and self._operator.over(part, entry.states[part], timestamp - LINGERS):
                del entry.states[part]
                self._snapshot.remove(part)
            else:
                entry.changed.add(part)
        self._schedule(key, entry, now, ctx)

    def close(self) -> None:
        self._counts.publish(now_ms(), at_once=True)
        self._seeds.close()

    # -- taking --------------------------------------------------------------------------------

    def _take(self, key: str, value: Any, records: list[Record], now: int, ctx: Any) -> Iterable[Any]:
        """Takes one element's records in, and returns what leaves at once. Raises EventError, state untouched, where
        they cannot be taken."""
        entry = self._entry(key, now, ctx)
        self._apply(key, entry, records, now)
        if self._boundaries.at_once:
            return self._leave_at_once(key, entry, now, ctx)
        self._schedule(key, entry, now, ctx)
        if records:  # a key that was only woken has nothing to be applied again
            self._tail.add((self._seeds.epoch, *value))
            entry.tail = True
        return ()

    def _apply(self, key: str, entry: Entry, records: list[Record], now: int) -> None:
        operator, changed = self._operator, entry.changed

        def one(part: str, record: Record) -> list[Signal] | None:
            signals = operator.on_event(part, self._state(entry, part), record)
            if signals is not None:
                changed.add(part)
            return signals

        for record in records:
            entry.news += apply(operator, key, record, one)
        if self._archives:
            entry.accepted += [record._replace(taken=now) for record in records]

    def _entry(self, key: str, now: int, ctx: Any) -> Entry:
        """The key's entry, most recently used from now on; read from Flink's state where memory has none."""
        entry = self._entries.find(key)
        if entry is not None:
            return entry
        entry = Entry()
        saved: dict[str, bytes] = {}
        for part in self._stored_parts():
            if owner(part) not in self._operator.owners:
                self._snapshot.remove(part)
                continue
            saved[part], at = self._snapshot.get(part)
            state = entry.states[part] = self._operator.decode(part, saved[part])
            due = self._due(part, state, at)
            if due is not None:  # there is no timer where an earlier one was known when that row left
                entry.due[part] = due
                ctx.timer_service().register_processing_time_timer(due)
        tail = list(self._tail.get() or ())
        known = [] if self._name == "user" else [each for each in tail if each[0] != self._seeds.epoch]
        entry.tail = bool(tail)
        self._again(key, entry, known, now)
        self._adopt(key, entry, saved)
        self._again(key, entry, tail[len(known) :], now)
        self._schedule(key, entry, now, ctx)
        self._entries.keep(key, entry)
        return entry

    def _again(self, key: str, entry: Entry, elements: list[Any], now: int) -> None:
        """Applies elements of a tail. One that is refused now (the allowed lateness is another) is only counted."""
        for _, *value in elements:
            try:
                self._apply(key, entry, wire.records(value), now)
            except EventError as error:
                self._counts.add(f"refused_later.{error.reason}")

    def _adopt(self, key: str, entry: Entry, saved: dict[str, bytes]) -> None:
        """Takes the key's seeds, if any. Their rows are written in any case: fields may be new that have no state."""
        for part, seed in self._seeds.of(key):
            if owner(part) not in self._operator.owners:
                continue
            if part in entry.states:
                self._operator.adopt(part, entry.states[part], seed, saved.get(part))
            else:
                entry.states[part] = self._operator.decode(part, seed)
            entry.changed.add(part)

    def _state(self, entry: Entry, part: str) -> Any:
        state = entry.states.get(part)
        if state is None:
            state = entry.states[part] = self._operator.new(part)
        return state

    def _stored_parts(self) -> list[str]:
        return [str(part) for part in self._snapshot.keys()]  # noqa: SIM118 (a state, not a dict)

    def _schedule(self, key: str, entry: Entry, now: int, ctx: Any) -> None:
        """Sees to a timer for when changed rows leave. A boundary set while events were far behind gives way to an
        earlier one, so that the end of a backlog holds nobody's click back."""
        if entry.changed and self._boundaries.too_late(entry.boundary, now):
            entry.boundary = self._boundaries.after(now)
            self._leaving[entry.boundary].append(key)
            ctx.timer_service().register_processing_time_timer(entry.boundary)

    def _pace(self, value: Any) -> int:
        """Sets boundaries as far apart as this element is late. Returns the time, epoch ms."""
        now = now_ms()
        self._counts.publish(now)
        behind = self._boundaries.read(value[5], now)
        if self._name == "user":
            interpreter.pace(behind)
        return now

    # -- leaving -------------------------------------------------------------------------------

    def _leave_at_once(self, key: str, entry: Entry, now: int, ctx: Any) -> Iterator[Any]:
        yield from self._leave([(key, entry)], now)
        self._save(entry, ctx)
        if self._counts.awaited(now):  # the last ones before a pause
            ctx.timer_service().register_processing_time_timer(now + PUBLISH_MS)

    def _leave(self, leaving: Sequence[tuple[str, Entry]], now: int) -> Iterator[Any]:
        self._entries.forget_idle()
        news: defaultdict[str, list[Signal]] = defaultdict(list)
        for start in range(0, len(leaving), WRITTEN_AT_ONCE):
            rows: list[Row] = []
            accepted: list[Record] = []
            closed: list[Example] = []
            for key, entry in leaving[start : start + WRITTEN_AT_ONCE]:
                for signal in entry.news:
                    for listener in self._operator.listeners(signal):
                        news[listener].append(signal)
                accepted += entry.accepted
                rows += self._rows(key, entry, now, closed)
            self._sink.write(rows)  # first: it is what a click waits for
            self._counts.add("rows", len(rows))
            self._counts.add("writes")
            if accepted:
                yield archive.ACCEPTED, FlinkRow(archive.text(accepted))
            yield from examples.out(closed, self._counts)
            if self._name == "item":
                for row in rows:
                    if row.view in self._served:
                        yield wire.features(row, self._served[row.view])
        for listener, signals in news.items():
            yield wire.news(listener, signals, self._sent, self._boundaries.arrived)

    def _rows(self, key: str, entry: Entry, now: int, closed: list[Example]) -> Iterator[Row]:
        for part in entry.changed:
            state = entry.states[part]
            closed += self._operator.on_timer(part, state, now)
            blob = self._operator.encode(part, state)
            entry.unsaved[part] = blob, now
            row = self._operator.row(key, part, state, now, blob)
            if row is not NO_ROW:
                yield row
        entry.changed.clear()
        entry.news, entry.accepted = [], []
        entry.boundary = 0

    def _save(self, entry: Entry, ctx: Any) -> None:
        """What has left goes into the snapshot, for the key at hand: Flink's state is that of its key, so that after a
        boundary the key's own timer does it."""
        self._snapshot.put_all(entry.unsaved)  # one call into the JVM: at each, another operator may get Python's lock
        for part, (_, at) in entry.unsaved.items():
            # As of the row: writing it took time, in which it may have come due.
            due, state = self._due(part, entry.states[part], at), entry.states[part]
            if due is not None and (due < entry.due.get(part, due + 1) or self._operator.over(part, state, at)):
                entry.due[part] = due
                ctx.timer_service().register_processing_time_timer(due)
        entry.unsaved = {}
        if entry.tail:
            self._tail.clear()
            entry.tail = False

    def _due(self, part: str, state: Any, at: int) -> int | None:
        """When the row of `at` changes by itself; where the state is over, when it is dropped."""
        return at + LINGERS if self._operator.over(part, state, at) else self._operator.due(part, state, at)
