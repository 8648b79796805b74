"""Writes the archive: every accepted event once, in Parquet files by the day on which the job accepted it.

The user operator sends the events of one flush as one text. Flink splits it into rows and columns, and writes files
that become visible with their checkpoint. The last column is the whole event as JSON, so that a replay of the archive
reads exactly the accepted events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec
from pyflink.common import Row as FlinkRow
from pyflink.common import Types
from pyflink.datastream import DataStream, OutputTag
from pyflink.table import StatementSet, StreamTableEnvironment

from operators.contract import Record
from operators.time import DAY
from schemas.events import Interaction

ACCEPTED = OutputTag("accepted", Types.ROW_NAMED(["rows"], [Types.STRING()]))

COLUMNS = {
    "event_id": "STRING",
    "event_type": "STRING",
    "user_id": "STRING",
    "item_id": "STRING",
    "session_id": "STRING",
    "timestamp": "BIGINT",
    "arrived": "BIGINT",
    "partition": "INT",
    "offset": "BIGINT",
    "taken": "BIGINT",
    "event": "STRING",
    "topic": "STRING",
    "day": "STRING",
}
"""name → type; times in epoch ms, `arrived` by the broker's clock and `taken` by the job's. The last two are folders,
`topic=…/day=…`, and the day is made from `taken`"""

ROW, COLUMN = "\x1e", "\x1f"
"""between rows and columns: JSON never holds them, and in an id they are left out"""

_encode = msgspec.json.Encoder().encode
_EPOCH = date(1970, 1, 1).toordinal()


TEXT_CHARACTERS = 1 << 20
"""from how many on a text of rows is not added to"""


def out(records: Iterable[Record]) -> Iterator[Any]:
    """These records as texts for the operator to send: several where one would be too long."""
    lines: list[str] = []
    size = 0
    for record in records:
        line = _line(record)
        lines.append(line)
        size += len(line)
        if size >= TEXT_CHARACTERS:
            yield ACCEPTED, FlinkRow(ROW.join(lines))
            lines, size = [], 0
    if lines:
        yield ACCEPTED, FlinkRow(ROW.join(lines))


def _line(record: Record) -> str:
    event, topic, partition, offset, arrived, taken = record
    names: tuple[str, ...]
    if type(event) is Interaction:
        names = event.event_id, event.event_type, event.user_id, event.item_id or "", event.session_id or ""
        at = event.timestamp
    else:
        names = getattr(event, "request_id", ""), "", getattr(event, "user_id", ""), "", ""
        at = getattr(event, "timestamp", 0)
    line = COLUMN.join(names)
    if line.count(COLUMN) != len(names) - 1 or ROW in line:
        line = COLUMN.join([name.replace(COLUMN, "").replace(ROW, "") for name in names])
    numbers = f"{at}{COLUMN}{arrived}{COLUMN}{partition}{COLUMN}{offset}{COLUMN}{taken}"
    return f"{line}{COLUMN}{numbers}{COLUMN}{_encode(event).decode()}{COLUMN}{topic}{COLUMN}{_date(taken // DAY)}"


@lru_cache(16)
def _date(day: int) -> str:
    """The date of a day, counted from the epoch, in UTC."""
    return date.fromordinal(_EPOCH + day).isoformat()


def attach(tables: StreamTableEnvironment, statements: StatementSet, accepted: DataStream, folder: str) -> None:
    """Writes the rows of `ACCEPTED` under `folder`, a URI."""
    columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE archive ({columns}) PARTITIONED BY (topic, `day`) WITH ("
        f"'connector' = 'filesystem', 'path' = '{folder}', 'format' = 'parquet', 'parquet.compression' = 'SNAPPY')"
    )
    tables.create_temporary_view("accepted", accepted)
    read = ", ".join(f"CAST(c[{n}] AS {kind})" for n, kind in enumerate(COLUMNS.values(), 1))
    statements.add_insert_sql(
        f"INSERT INTO archive SELECT {read}"
        f" FROM (SELECT SPLIT(line, '{COLUMN}') AS c"
        f" FROM accepted CROSS JOIN UNNEST(SPLIT(`rows`, '{ROW}')) AS lines (line))"
    )
