"""Rows of item_features say their layout: those of another one are refused."""

from __future__ import annotations

import msgspec
import pytest

from feature_repo import item_rows, views
from feature_repo.columns import ItemColumns
from feature_repo.item_rows import OtherLayout
from schemas.topics import ITEM_FEATURES
from serving.catalogue import LiveCatalogue
from tests.feature_repo import made


def test_a_row_comes_back() -> None:
    row = made.feature_row(views.item, ("i1",), popularity=2.0)
    columns = ItemColumns()
    columns.put_features(item_rows.decode(item_rows.encode(row)))
    assert columns.popularity.tolist() == [2.0]


def test_a_row_of_a_changed_view_shifts_no_column() -> None:
    row = made.feature_row(views.item, ("i1",), popularity=2.0)
    fields = views.item.fields
    other = item_rows.layout_of([fields[1], fields[0], *fields[2:]])
    packed = item_rows.encode(row)
    known = item_rows.layout_of(fields)
    assert other != known
    found = msgspec.msgpack.decode(packed)
    changed = msgspec.msgpack.encode([other if each == known else each for each in found])
    assert changed != packed
    with pytest.raises(OtherLayout):
        item_rows.decode(changed)
    catalogue = LiveCatalogue()
    catalogue.on_record(ITEM_FEATURES, b"", changed)
    catalogue.on_record(ITEM_FEATURES, b"", changed)
    assert (catalogue.refused, catalogue.columns.n) == (2, 0)
