"""Backfills declared features from the archive: the states and rows of a job that had always had them.

archive ─► gate ─► declared features ─┬─► rows at each change, for `get_historical_features`
                                      └─► states at the end, for the job to continue from
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import builders
from feature_repo.repository import Repository
from operators import cells
from operators.contract import NEVER, Cells, Dtype, Operator, Record, Row, View, World, owner
from operators.driver import States
from operators.stepping import LINGERS, event_time
from training.replay import Replay

ROWS_AT_ONCE = 50_000
BackfilledStates = Callable[[str], Iterable[tuple[str, Cells]]]
"""a key's parts, and their encoded states"""
SWEPT_AFTER = 100_000
"""after so many events, states without content (ended sessions, empty windows) are dropped"""

ARROW: dict[Dtype, pa.DataType] = {
    "int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64(), "string": pa.string(), "bool": pa.bool_(),
    "bytes": pa.binary(), "int64[]": pa.list_(pa.int64()), "float32[]": pa.list_(pa.float32()),
    "string[]": pa.list_(pa.string()), "bool[]": pa.list_(pa.bool_()),
}  # fmt: skip


class RowFiles:
    """Rows of views as Parquet files that Feast's offline store reads, `<view>.parquet` in a folder.

    Files appear whole: they get their names when the writer is closed without an error.

    A key's first row is of 1970 and has the defaults: Feast's join drops an entity whose rows are all later than the
    moment asked for, and keeps one that has no rows at all (`_filter_ttl` in its offline_stores/dask.py).

    Of a key's rows as of one moment, only the last is written: Feast would return any of them.
    """

    def __init__(self, folder: Path, views: Iterable[View[Any]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._views = {view.name: view for view in views}
        self._schemas = {name: _schema(view) for name, view in self._views.items()}
        self._paths = {name: folder / f"{name}.parquet" for name in self._views}
        self._writers = {
            name: pq.ParquetWriter(_aside(path), self._schemas[name]) for name, path in self._paths.items()
        }
        self._rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._last: dict[str, dict[tuple[str, ...], tuple[int, Row]]] = {name: {} for name in self._views}
        """by view and key, what was put last, and as of when"""
        self.written: dict[str, int] = dict.fromkeys(self._views, 0)

    def __enter__(self) -> RowFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name, path in self._paths.items():
            if kind is None:
                for last, row in self._last[name].values():
                    self._add(row, last)
                self._flush(name)
            self._writers[name].close()
            if kind is None:
                _aside(path).replace(path)
            else:
                _aside(path).unlink()

    def put(self, row: Row, at: int) -> None:
        """Takes a row as of `at`, epoch ms; rows of other views are left out. A deleted row is one of defaults.

        Rows of a key are in their order: one as of a time before that of the last row (events that happened before the
        person withdrew consent and came after it was given again) holds from that time on.
        """
        if row.view not in self._views:
            return
        last = self._last[row.view]
        before = last.get(row.key)
        unknown = Row(row.view, row.key, tuple(field.default for field in self._views[row.view].fields))
        if before is None:
            self._add(unknown, 0)
        elif before[0] < at:
            self._add(before[1], before[0])
        else:
            at = before[0]
        row = row if row.values else unknown
        last[row.key] = at, row

    def _add(self, row: Row, at: int) -> None:
        rows = self._rows[row.view]
        rows.append((*row.key, datetime.fromtimestamp(at / 1000, UTC), *row.values))
        if len(rows) >= ROWS_AT_ONCE:
            self._flush(row.view)

    def _flush(self, name: str) -> None:
        rows, schema = self._rows.pop(name, []), self._schemas[name]
        columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        self._writers[name].write_table(pa.Table.from_arrays(arrays, schema=schema))
        self.written[name] += len(rows)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def _schema(view: View[Any]) -> pa.Schema:
    keys = [(f"{name}_id", pa.string()) for name in view.entities]
    return pa.schema(
        [*keys, ("event_timestamp", pa.timestamp("us", "UTC")), *((f.name, ARROW[f.dtype]) for f in view.fields)]
    )


class Backfill:
    """Runs the job's operators over archived events: deduplication and declared features, without the main path."""

    def __init__(
        self,
        declared: Repository,
        world: World,
        emit: Callable[[Row, int], None] | None = None,
        earlier: Callable[[str], BackfilledStates] | None = None,
        opt_in: bool = False,
    ) -> None:
        """`emit(row, at)` is called with every row of declared features, as it changes; `earlier(operator)` gives the
        states to go on from; `opt_in` as for the user operator."""
        self._replay = Replay(
            *builders.declared_alone(world, declared, opt_in),
            emit,
            emits=lambda part: owner(part) != "",
            initial=lambda operator: LazyStates(operator, earlier(operator.name)) if earlier else States(),
        )
        self.events = 0
        self._earliest = NEVER

    def feed(self, records: Iterable[Record]) -> None:
        """Applies archived events, in their order."""
        for record in records:
            self._replay.feed(record)
            self.events += 1
            # As of the earliest: what was imported from years ago has sessions of years ago.
            self._earliest = min(self._earliest, event_time(record) or NEVER)
            if self.events % SWEPT_AFTER == 0 and self._earliest < NEVER:  # profiles have no time
                self._replay.forget(self._earliest - LINGERS)
                self._earliest = NEVER

    def finish(self, now: int) -> None:
        """Fires timers up to `now`, epoch ms, emits their rows, and drops the states that are empty by then."""
        self._replay.forget(now)
        self._replay.finish(until=now)

    def states(self) -> Iterator[tuple[str, str, str, bytes]]:
        """(operator, key, part, encoded state) of declared features; where it went on from earlier states, of touched
        keys alone."""
        for operator, found in (
            (self._replay.user_operator, self._replay.users),
            (self._replay.item_operator, self._replay.items),
        ):
            for (key, part), state in found.items():
                if owner(part):
                    yield operator.name, key, part, cells.pack(operator.encode(part, state))


class LazyStates(States):
    """States by key and part, each key's read from `backfilled` when it is first used."""

    def __init__(self, operator: Operator[Any], backfilled: BackfilledStates) -> None:
        super().__init__()
        self._operator = operator
        self._backfilled = backfilled
        self._asked: set[str] = set()

    def get(self, place: tuple[str, str], default: Any = None) -> Any:
        key, _ = place
        if key not in self._asked:
            self._asked.add(key)
            for part, state in self._backfilled(key):
                self[key, part] = self._operator.decode(part, state)
        return super().get(place, default)


def write_states(
    file: Path, states: Iterable[tuple[str, str, str, bytes]], earlier: Path | None = None
) -> dict[str, set[str]]:
    """Writes states for the job to read (streams/backfilled.py), under a new epoch; those of the `earlier` file
    where `states` has none. Returns the keys by operator."""
    aside = _aside(file)
    aside.unlink(missing_ok=True)
    keys: defaultdict[str, set[str]] = defaultdict(set)
    with sqlite3.connect(aside) as found:
        found.execute(
            "CREATE TABLE states (operator TEXT, key TEXT, part TEXT, state BLOB, PRIMARY KEY (operator, key, part))"
            " WITHOUT ROWID"
        )
        found.execute("CREATE TABLE epoch (id INTEGER)")
        found.execute("INSERT INTO epoch VALUES (?)", (time.time_ns(),))
        found.executemany("INSERT INTO states VALUES (?, ?, ?, ?)", states)
        if earlier:
            with closing(sqlite3.connect(earlier)) as before:
                kept = before.execute("SELECT * FROM states WHERE part <> ''")  # the job has its own
                found.executemany("INSERT OR IGNORE INTO states VALUES (?, ?, ?, ?)", kept)
        for operator, key in found.execute("SELECT DISTINCT operator, key FROM states"):
            keys[operator].add(key)
    found.close()
    aside.replace(file)
    return keys
