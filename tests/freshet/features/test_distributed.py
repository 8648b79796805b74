"""The files that a distributed backfill leaves, read in the order in which each task wrote them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from freshet.features.distributed import Filled


def test_files_of_a_task_are_read_by_number(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for task in range(2):
        for number in range(12):
            row = msgspec.msgpack.encode((["u1"], [task, number]))
            table = pa.table({"view": ["user_features"], "at": [number], "row": pa.array([row], pa.binary())})
            pq.write_table(table, tmp_path / "rows" / f"part-0a7b-{task}-{number}")
    found = [row.values for row, _ in Filled(tmp_path).rows()]
    assert found == [(task, number) for task in range(2) for number in range(12)]
