"""Writes the archive: every accepted event once, in Parquet files by the day on which the job accepted it.

The user operator sends the events of one flush as one text. Flink splits it into rows and columns, and writes files
that become visible with their checkpoint. The last column is the whole event as JSON, so that a replay of the archive
reads exactly the accepted events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from pyflink.common import Row as FlinkRow
from pyflink.common import Types
from pyflink.datastream import DataStream, OutputTag
from pyflink.table import StatementSet, StreamTableEnvironment

from operators.contract import Record

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
    event = record.event
    names = [
        getattr(event, "event_id", None) or getattr(event, "request_id", None) or "",
        getattr(event, "event_type", ""),
        getattr(event, "user_id", ""),
        getattr(event, "item_id", None) or "",
        getattr(event, "session_id", None) or "",
    ]
    line = COLUMN.join(names)
    if line.count(COLUMN) != len(names) - 1 or ROW in line:
        line = COLUMN.join(name.replace(COLUMN, "").replace(ROW, "") for name in names)
    at = getattr(event, "timestamp", 0)
    numbers = at, record.arrived, record.partition, record.offset, record.taken
    return COLUMN.join((line, *map(str, numbers), _encode(event).decode(), record.topic))


def attach(tables: StreamTableEnvironment, statements: StatementSet, accepted: DataStream, folder: str) -> None:
    """Writes the rows of `ACCEPTED` under `folder`, a URI."""
    columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE archive ({columns}) PARTITIONED BY (topic, `day`) WITH ("
        f"'connector' = 'filesystem', 'path' = '{folder}', 'format' = 'parquet', 'parquet.compression' = 'SNAPPY')"
    )
    tables.create_temporary_view("accepted", accepted)
    read = ", ".join(f"CAST(c[{n}] AS {kind})" for n, kind in enumerate(list(COLUMNS.values())[:-1], 1))
    statements.add_insert_sql(
        f"INSERT INTO archive SELECT {read}, CAST(CAST(TO_TIMESTAMP_LTZ(CAST(c[10] AS BIGINT), 3) AS DATE) AS STRING)"
        f" FROM (SELECT SPLIT(line, '{COLUMN}') AS c"
        f" FROM accepted CROSS JOIN UNNEST(SPLIT(`rows`, '{ROW}')) AS lines (line))"
    )
