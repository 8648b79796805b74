"""Rows by hash, while rows are added."""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo.columns import ItemColumns
from operators.hashes import hash64
from serving import rows_by_hash
from serving.cursors import LEFT_BITS
from serving.rows_by_hash import RowsByHash


def test_rows_are_found_while_more_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_by_hash, "NEW", 10)
    columns = ItemColumns()
    found = RowsByHash(columns)
    for n in range(40):
        hashes = np.array([hash64(f"i{k}") for k in range(42)], np.uint64)
        expected = np.array([k if k < n else -1 for k in range(42)])
        assert np.array_equal(found.find(hashes), expected)
        upper = (hashes[::-1] >> np.uint64(32)).astype(np.uint32)
        assert found.find_all(upper).tolist() == list(range(n))
        columns.row(f"i{n}")
    assert found.find_all(np.zeros(0, np.uint32)).tolist() == []


def test_of_half_a_hash_all_items_that_have_it_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ItemColumns()
    for k in range(4):
        columns.row(f"i{k}")
    for row, value in enumerate((0xFFFFFFFF_00000001, 0xFFFFFFFF_FFFFFFFF, 0x00000000_00000000, 0x00000001_00000000)):
        columns.hashes[row] = value
    found = RowsByHash(columns)
    assert found.find_all(np.array([0xFFFFFFFF], np.uint32)).tolist() == [0, 1]
    assert found.find_all(np.array([0], np.uint32)).tolist() == [2]


def test_a_row_is_found_by_the_first_bytes_of_its_hash() -> None:
    columns = ItemColumns()
    for k in range(3):
        columns.row(f"i{k}")
    for row, value in enumerate((0xFFFFFFFF_00021234, 0xFFFFFFFF_00011234, 0x00000001_00000007)):
        columns.hashes[row] = value
    found = RowsByHash(columns)
    first = np.array([0xFFFFFFFF_00010000, 0xFFFFFFFF_00020000, 0xFFFFFFFF_00030000, 1 << 32, 2 << 32], np.uint64)
    assert found.find(first, LEFT_BITS).tolist() == [1, 0, -1, 2, -1]
    assert found.find(first).tolist() == [-1, -1, -1, -1, -1]
