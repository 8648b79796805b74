"""The file of an index, read without `load_index`: the same results, and errors for what is no index."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import hnswlib
import numpy as np
import numpy.typing as npt
import pytest

from recommend import index_file
from recommend.index import ItemIndex
from schemas.errors import BundleError

DIM = 16
Vectors = npt.NDArray[np.float32]


def vectors_of(n: int, seed: int = 0) -> Vectors:
    found = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def saved(path: Path, n: int, m: int = 16, deleted: tuple[int, ...] = ()) -> Path:
    made = hnswlib.Index(space="ip", dim=DIM)
    made.init_index(max_elements=max(n, 1), M=m, ef_construction=60, random_seed=3)
    if n:
        made.add_items(vectors_of(n), np.arange(n)[::-1], num_threads=1)
    for label in deleted:
        made.mark_deleted(label)
    file = path / "index.hnsw"
    made.save_index(str(file))
    return file


def by_hnswlib(file: Path, capacity: int) -> hnswlib.Index:
    found = hnswlib.Index(space="ip", dim=DIM)
    found.load_index(str(file), max_elements=capacity)
    return found


@pytest.mark.parametrize("n", [1, 2, 50, 3000])
@pytest.mark.parametrize("m", [4, 16, 17])
def test_searches_as_the_index_that_hnswlib_loads(tmp_path: Path, n: int, m: int) -> None:
    file = saved(tmp_path, n, m)
    mine, theirs = index_file.read(file, DIM, n + 100), by_hnswlib(file, n + 100)
    assert mine.get_current_count() == n
    assert mine.get_max_elements() == n + 100
    assert sorted(mine.get_ids_list()) == list(range(n))
    asked, k = vectors_of(40, seed=1), min(10, n)
    for ef in (10, 64):
        found = []
        for index in (mine, theirs):
            index.set_ef(ef)
            found.append(index.knn_query(asked, k=k, num_threads=1))
        assert np.array_equal(found[0][0], found[1][0])
        assert np.array_equal(found[0][1], found[1][1])


def test_saves_as_it_was(tmp_path: Path) -> None:
    file = saved(tmp_path, 500)
    again = tmp_path / "again.hnsw"
    index_file.read(file, DIM, 500).save_index(str(again))
    assert again.read_bytes() == file.read_bytes()


def test_items_can_be_added_moved_removed_and_the_index_grow(tmp_path: Path) -> None:
    file = saved(tmp_path, 300)
    index = ItemIndex(DIM, file, 300)
    assert index.holds(300)
    more = vectors_of(2000, seed=2)
    index.add(np.arange(300, 2300), more)
    found = index.search(more[:50], 1)
    assert found is not None
    assert (found[:, 0] == np.arange(300, 350)).mean() > 0.9
    index.remove(300)
    found = index.search(more[:1], 1)
    assert found is not None
    assert found[0, 0] != 300


def test_deleted_items_stay_deleted(tmp_path: Path) -> None:
    index = index_file.read(saved(tmp_path, 100, deleted=(7, 8)), DIM, 100)
    with pytest.raises(RuntimeError, match="already deleted"):
        index.mark_deleted(7)
    index.set_ef(200)
    labels, _ = index.knn_query(vectors_of(1), k=98, num_threads=1)
    assert not {7, 8} & set(labels[0].tolist())


def test_an_empty_index(tmp_path: Path) -> None:
    index = index_file.read(saved(tmp_path, 0), DIM, 10)
    assert index.get_current_count() == 0
    index.add_items(vectors_of(3), np.arange(3))
    labels, _ = index.knn_query(vectors_of(3), k=1)
    assert labels[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [0, 50, 96, 5000, -4, -3])
def test_what_is_cut_off_is_no_index(tmp_path: Path, size: int) -> None:
    file = saved(tmp_path, 500)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(BundleError, match=r"index\.hnsw"):
        index_file.read(file, DIM, 500)


def test_what_follows_the_last_item_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path, 500)
    file.write_bytes(file.read_bytes() + b"\0\0\0\0")
    with pytest.raises(BundleError, match="links of 501 items instead of 500"):
        index_file.read(file, DIM, 500)


def test_another_dimension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="vectors of 32 numbers"):
        index_file.read(saved(tmp_path, 50), 32, 50)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)


def longest_pause(work: threading.Thread) -> float:
    """Seconds for which this thread did not run while `work` did."""
    longest, last = 0.0, time.perf_counter()
    work.start()
    while True:
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        if not work.is_alive():
            return longest
        time.sleep(0.0005)


@pytest.mark.usefixtures("quick_switches")
def test_other_threads_pause_for_a_part_of_what_hnswlib_takes(tmp_path: Path) -> None:
    file = saved(tmp_path, 40_000, m=8)
    pauses = [
        min(longest_pause(threading.Thread(target=load, args=(file, *rest, 40_000))) for _ in range(5))
        for load, rest in ((index_file.read, (DIM,)), (by_hnswlib, ()))
    ]
    assert pauses[0] < 0.6 * pauses[1]
