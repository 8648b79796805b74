"""Item columns: they grow, an item keeps its row, and each cell is what was last put there."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest

from feature_repo import views
from feature_repo.columns import MAX_CATEGORIES, SCALARS, UNKNOWN_POPULARITY, ItemColumns
from feature_repo.crosses import ItemFeature, Overlap
from feature_repo.reads import Reads
from feature_repo.vocabulary import Vocabulary
from operators.features import Count, LastK, event, user
from operators.features import item as item_entity
from operators.history import hash64
from schemas.events import Item
from tests.feature_repo import made
from tests.feature_repo.made import T0


def cells(columns: ItemColumns, id: str) -> dict[str, Any]:
    """Everything that is known of an item, codes as the names they stand for."""
    row = columns.row_of[id]
    category = {code: name for name, code in columns.category_codes.items()}
    brand = {code: name for name, code in columns.brand_codes.items()}
    return {
        "hash": int(columns.hashes[row]),
        "categories": [category[c] for c in columns.categories[row].tolist() if c],
        "brand": brand.get(int(columns.brand[row])),
        "price": None if np.isnan(columns.price[row]) else float(columns.price[row]),
        "created_at": None if np.isnan(columns.created_at[row]) else int(columns.created_at[row]),
        "available": bool(columns.available[row]),
        "events_7d": float(columns.events_7d[row]),
        "scalars": {f.name: float(getattr(columns, f.name)[row]) for f in SCALARS},
        "item": columns.items[row],
        "regions": {r: float(columns.popular_in(r)[row]) for r in ("DE", "FR") if columns.popular_in(r) is not None},
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_each_cell_is_what_was_put_there(seed: int) -> None:
    columns, items, rows = made.columns(seed)
    for id in columns.ids:
        found = cells(columns, id)
        entry = items.get(id)
        item = entry or Item(id, available=False)
        assert found["hash"] == hash64(id)
        assert (found["categories"], found["brand"]) == (item.categories, item.brand)
        assert (found["price"], found["created_at"], found["available"]) == (
            item.price,
            item.created_at,
            item.available,
        )
        assert found["item"] == entry
        overall = rows.get((id,))
        names = [f.name for f in views.item.fields]
        values = dict(zip(names, overall.values, strict=True)) if overall else {f.name: f.default for f in SCALARS}
        assert found["scalars"] == {f.name: values[f.name] for f in SCALARS}
        # Impressions, the last of the types, are shown to a person rather than done by one.
        assert found["events_7d"] == (sum(values["events_7d"][:-1]) if overall else 0)
        for region, popularity in found["regions"].items():
            regional = rows.get((id, region))
            index = [f.name for f in views.item_region.fields].index("popularity")
            assert popularity == (regional.values[index] if regional else UNKNOWN_POPULARITY)


@pytest.mark.parametrize("capacity", [1, 2, 1000])
def test_growing_changes_nothing_that_is_there(capacity: int) -> None:
    rng = random.Random(3)
    small, large = ItemColumns(capacity), ItemColumns(64)
    for n in range(60):
        item = made.item(rng, n)
        row = made.item_row(rng, f"i{n}", rng.choice(["", "DE"]))
        for columns in (small, large):
            assert columns.put_item(item) == n
            columns.put_features(row)
    assert small.ids == large.ids
    for id in small.ids:
        assert cells(small, id) == cells(large, id)


def test_columns_are_as_long_as_there_are_items() -> None:
    columns, _, _ = made.columns(1, n=9)
    assert columns.n == len(columns.ids) == 9
    assert columns.categories.shape == (9, MAX_CATEGORIES)
    assert all(getattr(columns, f.name).shape == (9,) for f in SCALARS)
    found = columns.popular_in("DE")
    assert found is not None
    assert found.shape == (9,)


def test_an_unknown_column_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="colour"):
        ItemColumns().colour  # noqa: B018


def test_an_entry_replaces_the_earlier_one_whole() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", "Old", ["a", "b", "c"], "x", 9.99, T0))
    columns.put_item(Item("i1", "New", ["d"], available=False))
    assert cells(columns, "i1") | {"scalars": 0, "hash": 0} == {
        "categories": ["d"], "brand": None, "price": None, "created_at": None,
        "available": False, "events_7d": 0.0, "item": Item("i1", "New", ["d"], available=False), "regions": {},
        "scalars": 0, "hash": 0,
    }  # fmt: skip


def test_more_categories_than_there_is_room_for_are_cut() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", categories=[f"c{n}" for n in range(20)]))
    assert cells(columns, "i1")["categories"] == [f"c{n}" for n in range(MAX_CATEGORIES)]


def test_an_item_known_by_its_features_alone_is_not_available() -> None:
    columns = ItemColumns()
    columns.put_features(made.feature_row(views.item, ("i1",), popularity=5.0))
    assert (columns.ids, columns.available.tolist(), columns.popularity.tolist()) == (["i1"], [False], [5.0])


def test_regions_beyond_what_there_is_room_for_have_no_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_repo.columns.REGIONS_BYTES", 2 * 16 * 16)
    found = ItemColumns(capacity=16)
    for n in range(5):
        found.put_features(made.feature_row(views.item_region, ("i1", f"r{n}"), popularity=float(n)))
    assert [found.popular_in(f"r{n}") is not None for n in range(5)] == [True, True, False, False, False]
    assert found.most_popular("r4") == UNKNOWN_POPULARITY


def test_a_region_beyond_the_limit_is_refused_before_its_column_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_repo.columns.REGIONS_BYTES", 0)
    found = ItemColumns(capacity=1 << 20)
    row = made.feature_row(views.item_region, ("i1", "r1"), popularity=1.0)
    found.row("i1")
    tracemalloc.start()
    try:
        found.put_features(row)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_popularity_of_a_region_in_which_nothing_happened() -> None:
    columns, _, _ = made.columns(2)
    assert columns.popular_in("IT") is None
    columns.put_features(made.feature_row(views.item_region, ("i3", "IT"), popularity=7.0))
    found = columns.popular_in("IT")
    assert found is not None
    assert found[columns.row_of["i3"]] == 7.0
    assert (np.delete(found, columns.row_of["i3"]) == UNKNOWN_POPULARITY).all()
    columns.put_item(Item("brand new"))
    assert columns.popular_in("IT")[-1] == UNKNOWN_POPULARITY  # type: ignore[index]


@pytest.mark.parametrize("region", ["", "DE"])
def test_the_most_popular_leads_until_it_falls(region: str) -> None:
    columns = ItemColumns(2)
    assert columns.most_popular(region) == UNKNOWN_POPULARITY
    rng, known = random.Random(7), {}
    for _ in range(300):
        id = f"i{rng.randrange(12)}"
        known[id] = rng.choice([rng.uniform(-5, 5), max(known.values(), default=0.0), UNKNOWN_POPULARITY])
        if region:
            columns.put_features(made.feature_row(views.item_region, (id, region), popularity=known[id]))
        else:
            columns.put_features(made.feature_row(views.item, (id,), popularity=known[id]))
        assert columns.most_popular(region) == max(known.values())
        assert columns.subset(["i3"]).most_popular(region) == max(known.values())


def test_rows_of_the_known_ones_in_their_order() -> None:
    columns, _, _ = made.columns(1, n=5)
    found = columns.rows(["i3", "nobody", "i0", "i3"])
    assert found.tolist() == [columns.row_of["i3"], columns.row_of["i0"], columns.row_of["i3"]]
    assert found.dtype == np.int64
    assert columns.rows([]).shape == (0,)


def test_an_item_keeps_its_row() -> None:
    columns, _, _ = made.columns(4)
    before = dict(columns.row_of)
    for n in range(3000):
        columns.put_item(Item(f"more{n}"))
        columns.put_item(Item(f"i{n % 40}", "Edited"))
    assert before.items() <= columns.row_of.items()
    assert columns.ids == sorted(columns.row_of, key=columns.row_of.__getitem__)


@pytest.mark.parametrize("seed", range(3))
def test_a_subset_is_a_copy_of_a_few(seed: int) -> None:
    columns, _, _ = made.columns(seed)
    there = [name for name in ("i7", "i0", "i21") if name in columns.row_of]
    before = {name: cells(columns, name) for name in there}
    found = columns.subset(["i7", "never heard of", "i0", "i21", "i7"])
    assert found.ids == there
    assert found.leaders == columns.leaders
    assert {name: cells(found, name) for name in there} == before
    for name in there:
        found.put_features(made.feature_row(views.item, (name,), popularity=99.0))
    assert {name: cells(columns, name) for name in there} == before


def test_codes_are_dense_and_leave_zero_for_none() -> None:
    codes = Vocabulary()
    assert [codes.code(name) for name in ("a", "b", "a", "c")] == [1, 2, 1, 3]


PEOPLE = Count("people", entity=item_entity)
YEARS = LastK("years", entity=user, of=event.with_fields(item={"year": int}).item.attributes.year, k=3)
READS = Reads.of([ItemFeature("n", of=PEOPLE), Overlap("y", of=YEARS)])


def test_what_crosses_read_are_columns_too() -> None:
    columns = ItemColumns(1, READS)
    for n in range(5):
        columns.put_item(Item(f"i{n}", attributes={"year": 1990 + n % 2} if n else {}))
        columns.put_values(f"i{n}", {"people": n, "another": 7})
    columns.put_values("i4", {"people": None})
    columns.put_values("unheard of", {})
    for found in (columns, columns.subset(columns.ids)):
        values = found.value("item_features:people")
        assert {i: values[found.row_of[i]] for i in found.ids} == {**{f"i{n}": n for n in range(5)}, "unheard of": 0}
        codes, known = found.codes("item.attributes.year")
        assert [known.names[codes[found.row_of[f"i{n}"], 0]] for n in range(5)] == [None, 1991, 1990, 1991, 1990]
        assert not codes[:, 1:].any()
    columns.put_item(Item("i1", attributes={"year": [f"y{n}" for n in range(20)]}))
    codes, known = columns.codes("item.attributes.year")
    assert [known.names[code] for code in codes[1]] == [f"y{n}" for n in range(MAX_CATEGORIES)]


def test_without_crosses_declared_features_are_left_out() -> None:
    columns = ItemColumns()
    columns.put_values("i1", {"people": 3})
    with pytest.raises(KeyError):
        columns.value("item_features:people")


def test_regions_stay_within_their_limit_as_rows_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_repo.columns.REGIONS_BYTES", 16 * 64 * 4)
    columns = ItemColumns(capacity=16)
    for n in range(16):
        columns.put_features(made.feature_row(views.item_region, ("i0", f"r{n}"), popularity=float(n)))
    assert len(columns.region_popularity) == 16
    for n in range(60):
        columns.row(f"i{n}")
        of_regions = (*columns.region_popularity.values(), *columns.region_recent.values())
        assert sum(column.nbytes for column in of_regions) <= 16 * 64 * 4
    assert columns.region_recent.keys() == columns.region_popularity.keys()
    assert sorted(columns.region_popularity) == ["r12", "r13", "r14", "r15"], "those of what is most popular"
    assert columns.most_popular("r15") == 15.0
    assert columns.most_popular("r0") == UNKNOWN_POPULARITY
