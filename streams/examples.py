"""Writes labelled examples (operators/attribution.py) to Kafka and to Parquet.

As for the archive, the operator sends the examples of one flush as a few texts. SQL makes a Kafka message of each
example, and rows of Parquet files that become visible with their checkpoint, by the day of the impression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from pyflink.common import Row as FlinkRow
from pyflink.common import Types
from pyflink.datastream import DataStream, OutputTag
from pyflink.table import StatementSet, StreamTableEnvironment

from schemas import codec
from schemas.events import LabelledExample
from streams.archive import COLUMN, ROW
from streams.counts import JobCounters

CLOSED = OutputTag("examples", Types.ROW_NAMED(["rows"], [Types.STRING()]))

SENT_AT_ONCE = 1000
"""examples in one text: after a pause all that is overdue is closed in one moment"""

COLUMNS = {
    "request_id": "STRING",
    "user_id": "STRING",
    "item_id": "STRING",
    "position": "INT",
    "shown_at": "BIGINT",
    "surface": "STRING",
    "region": "STRING",
    "device": "STRING",
    "model_version": "STRING",
    "variant": "STRING",
    "labels": "STRING",
    "watch_seconds": "DOUBLE",
    "propensity": "DOUBLE",
    "features": "BYTES",
    "complete": "BOOLEAN",
}
"""name → type, as in the Avro schema, without the partition `day=…`, which is made from `shown_at`. `labels` are
JSON."""

_json = msgspec.json.Encoder().encode


def out(found: Sequence[LabelledExample], counts: JobCounters) -> Iterator[Any]:
    """These examples as texts for the operator to send."""
    if found:
        counts.add("examples", len(found))
        counts.add("examples.incomplete", sum(not example.complete for example in found))
    for start in range(0, len(found), SENT_AT_ONCE):
        yield CLOSED, FlinkRow(text(found[start : start + SENT_AT_ONCE]))


def text(found: Sequence[LabelledExample]) -> str:
    """What `CLOSED` carries of these examples: a row each, the Kafka value and then COLUMNS; nothing where there is
    none. Bytes are in hexadecimal."""
    return ROW.join(_line(example) for example in found)


def _line(example: LabelledExample) -> str:
    cells = [codec.encode(example).hex()]
    for name in COLUMNS:
        value = getattr(example, name)
        if value is None:
            cells.append("")
        elif name == "features":
            cells.append(value.hex())
        elif name == "labels":
            cells.append(_json(value).decode())
        else:
            cells.append(str(value).replace(COLUMN, "").replace(ROW, ""))
    return COLUMN.join(cells)


def attach(tables: StreamTableEnvironment, statements: StatementSet, closed: DataStream, topic: str) -> None:
    """Writes what `CLOSED` carries to the Kafka table `topic` of key and value."""
    tables.create_temporary_view("closed", closed)
    tables.execute_sql(
        f"CREATE TEMPORARY VIEW closed_rows AS SELECT SPLIT(line, '{COLUMN}') AS c"
        f" FROM closed CROSS JOIN UNNEST(SPLIT(`rows`, '{ROW}')) AS lines (line)"
    )
    statements.add_insert_sql(f"INSERT INTO {topic} SELECT c[{_place('user_id')}], UNHEX(c[1]) FROM closed_rows")


def archive(tables: StreamTableEnvironment, statements: StatementSet, folder: str) -> None:
    """Writes the same as rows under `folder`, a URI."""
    columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE example_files ({columns}, `day` STRING) PARTITIONED BY (`day`) WITH ("
        f"'connector' = 'filesystem', 'path' = '{folder}', 'format' = 'parquet', 'parquet.compression' = 'SNAPPY')"
    )
    read = ", ".join(_cell(name, kind) for name, kind in COLUMNS.items())
    day = f"CAST(CAST(TO_TIMESTAMP_LTZ(TRY_CAST(c[{_place('shown_at')}] AS BIGINT), 3) AS DATE) AS STRING)"
    statements.add_insert_sql(f"INSERT INTO example_files SELECT {read}, {day} FROM closed_rows")


def _cell(name: str, kind: str) -> str:
    """The text as this type; null where it cannot be cast, since an error would fail the job again after each
    restore."""
    text = f"NULLIF(c[{_place(name)}], '')"
    if kind == "STRING":
        return text
    return f"UNHEX({text})" if kind == "BYTES" else f"TRY_CAST({text} AS {kind})"


def _place(name: str) -> int:
    """The place of a column in `c`, from 1; the first is the Kafka value."""
    return list(COLUMNS).index(name) + 2
