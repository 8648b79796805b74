"""Examples come back from their files as arrays, in an order that a ranker can be trained on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.events import LabelledExample
from streams import examples
from streams.archive import COLUMN, ROW
from training import labelled

T0 = 1_767_225_600_000
KINDS: dict[str, tuple[pa.DataType, Any]] = {
    "BIGINT": (pa.int64(), int), "INT": (pa.int32(), int), "STRING": (pa.string(), str),
    "DOUBLE": (pa.float64(), float), "BYTES": (pa.binary(), bytes.fromhex), "BOOLEAN": (pa.bool_(), "True".__eq__),
}  # fmt: skip
SCHEMA = pa.schema({name: KINDS[kind][0] for name, kind in examples.COLUMNS.items()})


def write(folder: Path, found: list[LabelledExample], name: str = "part-0") -> None:
    """As Flink does: split by row and column, cast, in folders by day."""
    rows = [line.split(COLUMN)[1:] for line in examples.text(found).split(ROW)]
    by_day: dict[str, list[dict[str, object]]] = {}
    for cells in rows:
        row = {
            column: KINDS[kind][1](cell) if cell else None
            for (column, kind), cell in zip(examples.COLUMNS.items(), cells, strict=True)
        }
        day = f"{datetime.fromtimestamp(row['shown_at'] / 1000, UTC):%Y-%m-%d}"  # type: ignore[operator]
        by_day.setdefault(day, []).append(row)
    for day, own in by_day.items():
        (folder / f"day={day}").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(own, SCHEMA), folder / f"day={day}" / name)


def example(request: int, position: int, **others: object) -> LabelledExample:
    features = np.array([request, position], "<f4").tobytes()
    return msgspec.structs.replace(
        LabelledExample(
            f"r{request}", f"u{request}", f"i{position}", position, T0 + request * 86_400_000, model_version="v1",
            features=features, propensity=0.5 if position else None,
        ),
        **others,
    )  # fmt: skip


def test_arrays(tmp_path: Path) -> None:
    write(tmp_path, [example(2, 1, labels={"click": 2}), example(2, 0, labels={"like": 1}, watch_seconds=1.5)])
    write(tmp_path, [example(1, 0), example(1, 1), example(1, 2)], "part-1")
    write(tmp_path, [example(3, 0, model_version="v2"), example(4, 0, features=None)], "part-2")
    write(tmp_path, [example(5, 0, complete=False)], "part-3")
    found = labelled.read(labelled.finished(tmp_path), "v1")
    assert found.features.tolist() == [[1, 0], [1, 1], [1, 2], [2, 0], [2, 1]]
    assert {kind: counts.tolist() for kind, counts in found.labels.items()} == {
        "click": [0, 0, 0, 0, 2],
        "like": [0, 0, 0, 1, 0],
    }
    assert found.positions.tolist() == [0, 1, 2, 0, 1]
    assert found.groups.tolist() == [0, 0, 0, 1, 1]
    assert found.sizes.tolist() == [3, 2]
    assert np.isnan(found.propensities).tolist() == [True, False, False, True, False]
    assert found.watch_seconds[3] == 1.5
    assert found.request_ids == ["r1"] * 3 + ["r2"] * 2
    assert found.user_ids == ["u1"] * 3 + ["u2"] * 2
    assert found.item_ids == ["i0", "i1", "i2", "i0", "i1"]
    assert len(found) == len(found.shown_at) == 5


@pytest.mark.parametrize(("inputs", "left", "rows"), [(None, 1, [[1, 0], [3, 0], [4, 0]]), (3, 3, [[0, 1, 2]])])
def test_inputs_that_are_not_the_models_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, inputs: int | None, left: int, rows: list[list[float]]
) -> None:
    wide = example(2, 0, features=np.array([0, 1, 2], "<f4").tobytes())
    write(tmp_path, [example(1, 0), wide, example(3, 0), example(4, 0)])
    found = labelled.read(labelled.finished(tmp_path), "v1", inputs)
    assert found.features.tolist() == rows
    assert (len(found), found.left_out, len(found.user_ids)) == (len(rows), left, len(rows))
    assert f"{left} of 4 examples of v1" in caplog.text


def test_rows_of_different_widths_are_never_mixed(tmp_path: Path) -> None:
    """Three inputs and five, joined, would be two rows of four."""
    three, five = (np.arange(n, dtype="<f4").tobytes() for n in (3, 5))
    write(tmp_path, [example(1, 0, features=three), example(2, 0, features=five)])
    found = labelled.read(labelled.finished(tmp_path), "v1")
    assert (found.features.tolist(), found.user_ids, found.left_out) == ([[0, 1, 2]], ["u1"], 1)
    assert labelled.read(labelled.finished(tmp_path), "v1", 5).features.tolist() == [[0, 1, 2, 3, 4]]


def test_nothing(tmp_path: Path) -> None:
    found = labelled.read(labelled.finished(tmp_path), "v1")
    assert (len(found), found.features.shape, found.sizes.tolist()) == (0, (0, 0), [])


def test_groups_of_the_impressions_that_are_kept_with_inputs_by_name(tmp_path: Path) -> None:
    shown = [
        example(1, 0, labels={"click": 1}), example(1, 1), example(1, 2, labels={"dislike": 1}),
        example(2, 0, labels={"purchase": 1, "view": 3}), example(2, 1, labels={"rating": 1}), example(2, 2),
        example(3, 0), example(3, 1),
        example(4, 0, labels={"view": 1}), example(4, 1, labels={"like": 1}),
        example(5, 0, labels={"like": 1}), example(5, 1),
    ]  # fmt: skip
    write(tmp_path, shown)
    found = labelled.read(labelled.finished(tmp_path), "v1")
    groups = labelled.groups(
        found, ("request", "position"), ("position", "request"), lambda impression: impression[1] != "r5"
    )
    assert [g.labels.tolist() for g in groups] == [[2, 0, 0], [3, 1, 0]], (
        "of 3 nothing came, of 4 all of it, 5 is not kept"
    )
    assert [g.features.tolist() for g in groups] == [
        [[0, 1], [1, 1], [2, 1]],
        [[0, 2], [1, 2], [2, 2]],
    ]
    with pytest.raises(ValueError, match="not in list"):
        labelled.groups(found, ("request", "position"), ("age",))
