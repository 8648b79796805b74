"""Columns of attributes by type, their limit, and which rows have changed."""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo import attribute_columns
from feature_repo.attribute_columns import JOURNAL, AttributeColumns
from feature_repo.columns import ItemColumns
from schemas.events import Item


def test_an_attribute_has_a_column_for_each_type_that_items_give_it() -> None:
    columns = ItemColumns()
    of = columns.filterable
    for n, value in enumerate([3, 2.5, "x", True, ["a", "b"]]):
        columns.put_item(Item(f"i{n}", attributes={"v": value}))
    assert of.types("v") == ("number", "string", "boolean", "list")
    np.testing.assert_array_equal(of.scalar("v", "number").values(None, 5), [3, 2.5, np.nan, np.nan, np.nan])
    assert of.scalar("v", "string").values(None, 5).tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_array_equal(of.scalar("v", "boolean").values(np.array([3, 0, 99]), 5), [1, np.nan, np.nan])
    assert of.lists("v").lengths(5).tolist() == [-1, -1, -1, -1, 2]
    assert of.names == ["v"]
    assert of.shape == 4


def test_a_later_entry_replaces_the_earlier_one_whole() -> None:
    columns = ItemColumns()
    of = columns.filterable
    columns.put_item(Item("i0", categories=["a"], attributes={"v": 3, "w": "x", "same": 1}))
    columns.put_item(Item("i0", attributes={"v": "three", "same": 1}))
    assert np.isnan(of.scalar("v", "number").values(None, 1)).all()
    assert of.scalar("v", "string").values(None, 1).tolist() == [1]
    assert of.scalar("w", "string").values(None, 1).tolist() == [0]
    assert of.scalar("same", "number").values(None, 1).tolist() == [1]
    assert of.categories.lengths(1).tolist() == [0]


def test_all_categories_count_and_not_only_the_first_eight() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i0", categories=[f"c{n}" for n in range(20)]))
    assert columns.filterable.categories.lengths(1).tolist() == [20]


def test_beyond_so_many_columns_there_are_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_columns, "MOST_COLUMNS", 2)
    columns = ItemColumns()
    columns.put_item(Item("i0", attributes={"a": 1, "b": 1, "c": 1}))
    columns.put_item(Item("i0"))
    assert columns.filterable.names == ["a", "b"]
    assert columns.filterable.left_out == {"c"}


def test_which_rows_have_changed_since() -> None:
    of = AttributeColumns()
    for row in (3, 5, 3):
        of.changed(row)
    assert of.changes(0, 3) is not None
    assert of.changes(0, 3).tolist() == [3, 5]  # type: ignore[union-attr]
    assert of.changes(2, 3).tolist() == [3]  # type: ignore[union-attr]
    assert of.changes(3, 3).tolist() == []  # type: ignore[union-attr]
    for row in range(JOURNAL):
        of.changed(row)
    assert of.changes(0, of.version) is None, "too many"
    assert of.changes(2, 3) is None, "overwritten since"
    assert of.changes(of.version - 2, of.version).tolist() == [JOURNAL - 2, JOURNAL - 1]  # type: ignore[union-attr]


def test_columns_cost_little_memory() -> None:
    columns = ItemColumns()
    for n in range(10_000):
        columns.put_item(
            Item(f"i{n}", categories=["a", "b"], attributes={"year": n % 90, "lang": "en", "cast": ["x", "y"]})
        )
    assert columns.filterable.nbytes < 10_000 * 150
