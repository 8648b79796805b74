"""Candidate sources, and their merge beside a plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.history import hash64
from recommend import retrievers
from recommend.query import FeedRequest, Query, Source
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular


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
    return Query(FeedRequest(user, NOW, region), found.columns, found.model, found.popular)


def ids(q: Query, rows: np.ndarray) -> list[str]:
    return [q.columns.ids[row] for row in rows.tolist()]


def test_nearest_to_the_person() -> None:
    q = query(vector=[1.0, 0, 0, 0])
    found = ids(q, retrievers.nearest(q))
    assert len(found) == retrievers.NEAREST
    assert found[:3] == ["i0", "i1", "i2"]


def test_a_vector_of_another_space_is_never_searched_for() -> None:
    q = query(space="space-v0", vector=[1.0, 0, 0, 0])
    assert ids(q, retrievers.nearest(q)) == []


def test_as_many_more_are_asked_for_as_the_person_has_met() -> None:
    met = np.array([hash64(f"i{k}") for k in range(30)], "<u8").tobytes()
    q = query(vector=[1.0, 0, 0, 0], seen=met)
    assert len(retrievers.nearest(q)) == retrievers.NEAREST + 30
    assert len(retrievers.popular(q)) == retrievers.POPULAR + 30


def test_stated_interests_stand_in_for_a_vector() -> None:
    q = query(interests=["North", "unheard of"])
    assert ids(q, retrievers.nearest(q))[:2] == ["i299", "i298"]
    assert len(retrievers.nearest(query(interests=["unheard of"]))) == 0


def test_similar_to_the_last_few_in_turn() -> None:
    q = query(recent=[("click", "i250"), ("like", "i10"), ("dislike", "i100"), ("search", "i50")])
    found = ids(q, retrievers.similar(q))
    assert found[:2] == ["i250", "i10"]
    assert set(found[2:4]) <= {"i249", "i251", "i9", "i11"}
    assert not {"i100", "i50"} & set(found)


def test_of_the_last_ones_only_a_few_count() -> None:
    recent = [("click", f"i{k}") for k in (10, 60, 110, 160, 210, 260)]
    q = query(recent=recent)
    assert "i260" not in ids(q, retrievers.similar(q))


@pytest.mark.parametrize(("region", "expected"), [("DE", ["i6", "i5"]), ("FR", []), ("", [])])
def test_popular_in_the_region(region: str, expected: list[str]) -> None:
    q = query(region)
    assert ids(q, retrievers.popular_in_region(q)) == expected


def test_popular_everywhere() -> None:
    q = query()
    assert ids(q, retrievers.popular(q))[:2] == ["i299", "i298"]


def test_without_a_model_there_is_nothing_near() -> None:
    q = query(with_model=False, vector=[1.0, 0, 0, 0], recent=[("click", "i1")])
    assert len(retrievers.nearest(q)) == len(retrievers.similar(q)) == 0


@given(st.lists(st.tuples(st.sampled_from(list(Source)), st.lists(st.integers(0, 12))), max_size=5))
def test_merged_each_once_with_every_source_by_its_best_position(found: list[tuple[Source, list[int]]]) -> None:
    best: dict[int, int] = {}
    sources: dict[int, int] = {}
    for source, rows in found:
        for position, row in enumerate(rows):
            best[row] = min(position, best.get(row, position))
            sources[row] = sources.get(row, 0) | source
    q = query(with_model=False)
    retrievers.merge([(source, np.array(rows, np.int64)) for source, rows in found], q)
    assert sorted(q.rows.tolist()) == sorted(best)
    assert dict(zip(q.rows.tolist(), q.sources.tolist(), strict=True)) == sources
    positions = [best[row] for row in q.rows.tolist()]
    assert positions == sorted(positions)
