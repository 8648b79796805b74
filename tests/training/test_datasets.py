"""MovieLens-100K as events, and as files that can be read back."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from schemas.events import Item
from training import datasets
from training.datasets import Dataset, DatasetMissing, movielens, region
from training.log import from_files


@pytest.fixture(scope="module")
def data() -> Dataset:
    try:
        return movielens()
    except DatasetMissing as error:
        pytest.skip(str(error))


def test_its_size_and_order(data: Dataset) -> None:
    assert [len(part) for part in data] == [1682, 943, 100_000]
    times = [e.timestamp for e in data.interactions]
    assert times == sorted(times)
    assert {e.event_type for e in data.interactions} == {"rating"}
    assert len({e.event_id for e in data.interactions}) == 100_000


def test_a_film_and_a_person(data: Dataset) -> None:
    assert data.items[0] == Item(
        "1", "Toy Story", ["Animation", "Children's", "Comedy"], created_at=788_918_400_000, attributes={"year": 1995}
    )
    assert data.users[0].attributes == {"age": 24, "gender": "M", "occupation": "technician", "zip_code": "85711"}


def test_what_is_written_reads_back(data: Dataset, tmp_path: Path) -> None:
    slice_ = Dataset(data.items[:20], data.users[:20], data.interactions[:200])
    paths = datasets.write(slice_, tmp_path / "a")
    log = from_files([paths["interactions"]], [paths["items"]], [paths["users"]])
    assert (list(log.items.values()), list(log.users.values()), log.interactions) == tuple(slice_)
    assert log.invalid == 0
    again = datasets.write(slice_, tmp_path / "b")
    assert all(filecmp.cmp(paths[name], again[name], shallow=False) for name in paths)


@pytest.mark.parametrize(("code", "expected"), [("94043", "zip-9"), ("V3N4P", ""), ("", "")])
def test_region(code: str, expected: str) -> None:
    assert region(code) == expected


def test_absent_data_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetMissing, match="make setup"):
        movielens(tmp_path)
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    with pytest.raises(DatasetMissing, match="make setup"):
        movielens()
