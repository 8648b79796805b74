"""The archive of accepted events, read back as the records that they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from operators.contract import Record
from schemas.topics import EVENT_TYPES_OF, IMPRESSIONS, INTERACTIONS, USERS

COLUMNS = ["arrived", "partition", "offset", "taken", "event"]
ORDER = [(name, "ascending") for name in ("taken", "rank", "partition", "offset")]
RANK = {USERS: 0, IMPRESSIONS: 1, INTERACTIONS: 2}
"""what of one millisecond probably came first: who somebody is, what they were shown, what they did"""

_decoders: dict[str, Callable[[str | bytes], Any]] = {
    topic: msgspec.json.Decoder(kind).decode for topic, kind in EVENT_TYPES_OF.items()
}


def decode(topic: str, event: str | bytes) -> Any:
    """The column `event` of a topic."""
    return _decoders[topic](event)


def finished(folder: Path) -> set[Path]:
    """The files that are complete, `topic=…/day=…/part-…`; those in the making have a dot before their names."""
    return set(folder.glob("topic=*/day=*/part-*"))


def read(files: Iterable[Path]) -> Iterator[Record]:
    """The events in the files, in the order in which the job took them, a day in memory at once."""
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
