"""Candidate sources, and their merge compared with a plain one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.time import DAY
from recommend.candidate_set import merge
from recommend.query import Query
from recommend.retrievers import (
    NEAREST,
    POPULAR,
    Nearest,
    Neighbours,
    New,
    PopularEverywhere,
    PopularInRegion,
    Similar,
    Trending,
)
from recommend.stage import StageError
from schemas.events import Item
from tests.serving.made import NOW, catalogue, met, person, pipeline, popular

NEAREST_TO, POPULAR_ONES = Nearest(), PopularEverywhere()


def query(region: str = "", space: str = "space-v1", with_model: bool = True, **row: object) -> Query:
    """Items i0 … i299 on a quarter of a circle, from (1, 0) to (0, 1)."""
    angles = {f"i{k}": k / 300 * np.pi / 2 for k in range(300)}
    vectors = {i: [np.cos(a), np.sin(a), 0, 0] for i, a in angles.items()} if with_model else None
    made = catalogue([Item(i, "", ["near"] if i == "i7" else []) for i in angles], vectors, content={
        "category:east": [1, 0, 0, 0], "category:north": [0, 1, 0, 0],
    }) if vectors else catalogue([Item(i) for i in angles])  # fmt: skip
    popular(made, {f"i{k}": float(k) for k in range(300)})
    popular(made, {"i5": 2.0, "i6": 3.0}, "DE")
    found = pipeline(made)
    user = person(**{"vector_space": space, **row})  # type: ignore[arg-type]
    return found.query(at=NOW, user=user, region=region)


def ids(q: Query, rows: np.ndarray) -> list[str]:
    return [q.columns.ids[row] for row in rows.tolist()]


def test_nearest_to_the_person() -> None:
    q = query(vector=[1.0, 0, 0, 0])
    found = ids(q, NEAREST_TO.find(q))
    assert len(found) == NEAREST
    assert found[:3] == ["i0", "i1", "i2"]


def test_a_vector_of_another_space_is_never_searched_for() -> None:
    q = query(space="space-v0", vector=[1.0, 0, 0, 0])
    assert ids(q, NEAREST_TO.find(q)) == []


def test_as_many_more_are_asked_for_as_the_person_has_met() -> None:
    q = query(vector=[1.0, 0, 0, 0], **met(f"i{k}" for k in range(30)))
    assert len(NEAREST_TO.find(q)) == NEAREST + 30
    assert len(POPULAR_ONES.find(q)) == POPULAR + 30


def test_stated_interests_stand_in_for_a_vector() -> None:
    q = query(interests=["North"])
    assert ids(q, NEAREST_TO.find(q))[:2] == ["i299", "i298"]


def test_similar_to_the_last_few_in_turn() -> None:
    q = query(recent=[("click", "i250"), ("like", "i10"), ("dislike", "i100"), ("search", "i50")])
    found = ids(q, Similar().find(q))
    assert found[:2] == ["i250", "i10"]
    assert set(found[2:4]) <= {"i249", "i251", "i9", "i11"}
    assert not {"i100", "i50"} & set(found)


def test_of_the_last_ones_only_a_few_count() -> None:
    recent = [("click", f"i{k}") for k in (10, 60, 110, 160, 210, 260)]
    q = query(recent=recent)
    assert "i260" not in ids(q, Similar().find(q))


@pytest.mark.parametrize(("region", "expected"), [("DE", ["i6", "i5"]), ("FR", [])])
def test_popular_in_the_region(region: str, expected: list[str]) -> None:
    q = query(region)
    assert PopularInRegion().applies(q)
    assert ids(q, PopularInRegion().find(q)) == expected


def test_without_a_region_there_is_nothing_to_look_for_there() -> None:
    assert not PopularInRegion().applies(query())


def test_popular_everywhere() -> None:
    q = query()
    assert ids(q, POPULAR_ONES.find(q))[:2] == ["i299", "i298"]


def test_without_a_model_nothing_is_near_which_is_a_failure() -> None:
    q = query(with_model=False, vector=[1.0, 0, 0, 0], recent=[("click", "i1")])
    with pytest.raises(StageError, match="there is no model"):
        NEAREST_TO.find(q)
    assert not Similar().applies(q)


def test_the_quota_is_the_surfaces() -> None:
    q = query(vector=[1.0, 0, 0, 0], recent=[("click", "i10"), ("click", "i60")])
    assert len(Nearest(quota=7).find(q)) == 7
    assert len(Similar(quota=3, recents=1).find(q)) == 4, "the item itself, and three"
    assert len(PopularEverywhere(quota=9).find(q)) == 9


def test_neighbours_of_an_item() -> None:
    q = replace(query(), item=7, n=2)
    assert set(ids(q, Neighbours().find(q))[:3]) == {"i6", "i7", "i8"}
    with pytest.raises(StageError, match="no model has a vector of the item"):
        Neighbours().find(replace(query(with_model=False), item=7))


@pytest.mark.parametrize("sold_out", [0.0, 0.1, 0.25, 0.9])
def test_as_many_available_neighbours_are_found_however_few_are_in_stock(sold_out: float) -> None:
    rng = np.random.default_rng(3)
    vectors = {f"i{k}": v for k, v in enumerate(rng.normal(size=(5000, 4)).tolist())}
    items = [Item(f"i{k}", available=bool(rng.random() >= sold_out)) for k in range(5000)]
    made = pipeline(catalogue(items, vectors))
    q = made.query(at=NOW, user=person(vector=[1.0, 0, 0, 0], vector_space="space-v1"))
    found = NEAREST_TO.find(q)
    assert q.columns.available[found].sum() >= NEAREST
    assert len(found) < 5000, "it is not the catalogue"


def test_trending_of_a_category_and_region() -> None:
    q = query("DE")
    assert ids(q, Trending().find(q)) == ["i6", "i5"]
    assert ids(q, Trending().find(replace(q, region="", category="near"))) == ["i7"]
    assert ids(q, Trending().find(replace(q, region="", category="unheard of"))) == []


@given(st.lists(st.lists(st.integers(0, 12)), max_size=5))
def test_merged_each_once_with_every_source_by_its_best_position(found: list[list[int]]) -> None:
    best: dict[int, int] = {}
    sources: dict[int, set[str]] = {}
    names = tuple(f"source {k}" for k in range(len(found)))
    for name, rows in zip(names, found, strict=True):
        for position, row in enumerate(rows):
            best[row] = min(position, best.get(row, position))
            sources.setdefault(row, set()).add(name)
    merged = merge([np.array(rows, np.int64) for rows in found], names)
    rows = merged.rows.tolist()
    assert sorted(rows) == sorted(best)
    assert {row: set(merged.sources_of(k)) for k, row in enumerate(rows)} == sources
    positions = [best[row] for row in rows]
    assert positions == sorted(positions)
    for name in names:
        assert merged.found_by(name).tolist() == [name in sources[row] for row in rows]


def test_new_items_that_suit_the_person_nearest_first() -> None:
    angles = {"old": 0.0, "near": 0.6, "nearer": 0.1, "far": 1.5, "sold out": 0.0, "coming": 0.0}
    created = {"old": NOW - 15 * DAY, "coming": NOW + DAY}
    items = [Item(i, available=i != "sold out", created_at=created.get(i, NOW - 1000)) for i in angles]
    made = catalogue(items, {i: [np.cos(a), np.sin(a), 0, 0] for i, a in angles.items()})
    of = pipeline(made)

    def found(**row: object) -> list[str]:
        q = of.query(at=NOW, user=person(vector_space="space-v1", **row))  # type: ignore[arg-type]
        return ids(q, New().find(q))

    assert found(vector=[1.0, 0, 0, 0]) == ["nearer", "near"]
    assert found() == []
    with pytest.raises(StageError, match="no model"):
        New().find(pipeline(catalogue(items)).query(at=NOW))


def test_new_items_of_stated_interests_suit_whatever_else_their_vectors_have() -> None:
    items = [Item(f"i{k}", categories=["drama"] if k == 3 else ["comedy"], created_at=NOW - k) for k in range(6)]
    vectors = {item.item_id: [0.05, 1, 0, 0] if k == 3 else [0.3 + k / 10, 0.9, 0, 0] for k, item in enumerate(items)}
    of = pipeline(catalogue(items, vectors))

    def found(**row: object) -> list[str]:
        q = of.query(at=NOW, user=person(interests=["drama"], **row))  # type: ignore[arg-type]
        q.encoded = np.array([1, 0, 0, 0], np.float32)
        return ids(q, New(quota=2).find(q))

    assert found()[0] == "i3"
    assert "i3" not in found(vector=[1.0, 0, 0, 0], vector_space="space-v1"), "what people do says more"


def test_of_new_items_that_suit_as_well_the_newest_are_found() -> None:
    """However many of the same categories are new, the latest is among the candidates."""
    items = [Item(f"i{k}", created_at=NOW - (k * 7 % 60) * 1000) for k in range(60)]
    vectors = {item.item_id: [np.cos(0.004 * k), np.sin(0.004 * k), 0, 0] for k, item in enumerate(items)}
    q = pipeline(catalogue(items, vectors)).query(
        at=NOW, user=person(vector_space="space-v1", vector=[np.cos(0.12), np.sin(0.12), 0, 0])
    )
    newest = sorted(items, key=lambda item: -(item.created_at or 0))
    assert ids(q, New(quota=40).find(q)) == [item.item_id for item in newest[:40]]
