"""Columns of attributes by type, their limit, and which rows have changed."""

from __future__ import annotations

from typing import Any

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
    assert columns.filterable.left_out == 1
    assert columns.filterable.is_left_out("c")


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


def test_a_value_of_another_type_that_is_equal_is_a_change() -> None:
    """1 == True in Python."""
    columns = ItemColumns()
    columns.put_item(Item("i0", attributes={"sale": 1}))
    columns.put_item(Item("i0", attributes={"sale": True}))
    of = columns.filterable
    assert of.scalar("sale", "boolean").values(None, 1).tolist() == [1]
    assert np.isnan(of.scalar("sale", "number").values(None, 1)).all()


def test_strings_that_no_item_has_any_more_are_forgotten() -> None:
    columns = ItemColumns()
    for n in range(5000):
        attributes = {"sku": f"s{n}", "tags": [f"t{n}"]}
        columns.put_item(Item(f"i{n % 3}", categories=[f"c{n}"], attributes=attributes))
    of = columns.filterable
    codes, vocabulary = of.scalar("sku", "string").coded(None, 3)
    assert [vocabulary.names[code] for code in codes] == ["s4998", "s4999", "s4997"]
    assert len(vocabulary.names) < 200
    for lists, letter in ((of.lists("tags"), "t"), (of.categories, "c")):
        codes, owners = lists.elements(None, 3)
        found = {int(owner): lists.vocabulary.names[code] for code, owner in zip(codes, owners, strict=True)}
        assert found == {0: f"{letter}4998", 1: f"{letter}4999", 2: f"{letter}4997"}
        assert len(lists.vocabulary.names) < 200


@pytest.mark.parametrize("value", [1, True, "x", ["x"]])
def test_few_values_in_late_rows_take_little_memory(value: Any) -> None:
    of = AttributeColumns()
    for n in range(8):
        of.put(1_000_000 + n, None, Item(f"i{n}", attributes={f"a{n}.{k}": value for k in range(64)}))
    assert len(of.names) == 512
    assert of.nbytes < 40_000_000
    assert of.nbytes == of.categories.nbytes + of.attribute_bytes


def test_columns_without_values_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_columns, "MOST_COLUMNS", 2)
    columns = ItemColumns()
    columns.put_item(Item("i0", attributes={"a": 1, "b": "x"}))
    columns.put_item(Item("i0", attributes={"b": "x"}))
    columns.put_item(Item("i1", attributes={"c": 1}))
    of = columns.filterable
    assert (of.names, of.left_out) == (["b", "c"], 0)
    assert np.isnan(of.scalar("a", "number").values(None, 2)).all(), "a reader that still has the name finds nothing"


def test_columns_have_a_limit_in_bytes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(attribute_columns, "ATTRIBUTE_BYTES", 100_000)
    columns = ItemColumns()
    for n in range(2000):
        attributes = {"year": n, "odd": "x"} if n % 1000 == 0 else {"year": n}
        columns.put_item(Item(f"i{n}", attributes=attributes))
    columns.put_item(Item("many", attributes={f"a{n}": 1 for n in range(60)}))
    of = columns.filterable
    assert of.attribute_bytes <= 100_000
    assert "year" in of.names
    assert of.is_left_out("a0")
    assert of.left_out > 40
    assert len(caplog.messages) == 1
    assert of.attribute_bytes == sum(of.scalar(name, type).nbytes for name in of.names for type in of.types(name))
    before = of.names
    columns.put_item(Item("i1", attributes={"a0": 1, "year": 1}))
    assert of.names == before, "earlier items would be missing in it"


def test_where_too_many_are_left_out_no_column_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute_columns, "MOST_COLUMNS", 1)
    monkeypatch.setattr(attribute_columns, "MOST_LEFT_OUT", 2)
    columns = ItemColumns()
    columns.put_item(Item("i0", attributes={"a": 1, "b": 1, "c": 1, "d": 1}))
    columns.put_item(Item("i0"))
    columns.put_item(Item("i1", attributes={"d": 1, "e": 1}))
    assert columns.filterable.left_out == 2
    assert columns.filterable.names == ["a"], "i0's d would be missing in a column of it"
