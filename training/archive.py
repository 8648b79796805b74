"""Reads the archive of accepted events back as records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from operators.contract import Record
from schemas.archived import RANK, decode

COLUMNS = ["arrived", "partition", "offset", "taken", "event"]
ORDER = [(name, "ascending") for name in ("taken", "rank", "partition", "offset")]


def finished(folder: Path) -> set[Path]:
    """The complete files, `topic=…/day=…/part-…`; names of unfinished ones start with a dot."""
    return set(folder.glob("topic=*/day=*/part-*"))


def count(files: Iterable[Path]) -> int:
    """The number of events in the files."""
    return sum(pq.read_metadata(file).num_rows for file in files)


def read(files: Iterable[Path]) -> Iterator[Record]:
    """The events in the files, in the order in which the job accepted them; one day is in memory at a time."""
    days: defaultdict[str, list[Path]] = defaultdict(list)
    for file in files:
        days[file.parent.name].append(file)
    for day in sorted(days):
        table = pa.concat_tables(map(_table, days[day])).sort_by(ORDER)
        for batch in table.to_batches():
            rows = (batch.column(name).to_pylist() for name in ("topic", *COLUMNS))
            for topic, arrived, partition, offset, taken, event in zip(*rows, strict=True):
                yield Record(decode(topic, event), topic, partition, offset, arrived, taken)


def _table(file: Path) -> pa.Table:
    table = pq.read_table(file, columns=COLUMNS, partitioning=None)
    topic = file.parent.parent.name.removeprefix("topic=")
    table = table.append_column("topic", pa.array([topic] * len(table)))
    return table.append_column("rank", pa.array([RANK[topic]] * len(table)))
