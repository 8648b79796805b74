"""Which candidates may stay, and what fills up a feed of too few."""

from __future__ import annotations

import numpy as np

from operators.history import hash64
from recommend import filters
from recommend.query import FeedRequest, Query
from recommend.retrievers import merge
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular


def query(n_items: int, n: int = 5, unavailable: tuple[int, ...] = (), **row: object) -> Query:
    """A query of the catalogue i0, i1, …; the smaller the number, the more popular."""
    made = catalogue([Item(f"i{k}", available=k not in unavailable) for k in range(n_items)])
    popular(made, {f"i{k}": -float(k) for k in range(n_items)})
    found = pipeline(made)
    return Query(FeedRequest(person(**row), NOW, n=n), found.columns, None, found.popular)  # type: ignore[arg-type]


def candidates(q: Query, *rows: int) -> Query:
    merge([(8, np.array(rows, np.int64))], q)  # type: ignore[list-item]
    return q


def left(q: Query) -> list[int]:
    filters.apply(q)
    return [int(q.columns.ids[row][1:]) for row in q.rows.tolist()]


def seen(*numbers: int) -> bytes:
    return np.array([hash64(f"i{k}") for k in numbers], "<u8").tobytes()


def test_what_cannot_be_had_what_is_disliked_and_what_is_met_goes() -> None:
    q = candidates(
        query(8, n=2, unavailable=(1,), recent=[("dislike", "i2"), ("like", "i4")], seen=seen(3)), 0, 1, 2, 3, 4
    )
    assert left(q) == [0, 4]
    assert q.removed == {"unavailable": 1, "disliked": 1, "seen": 1}


def test_too_few_are_filled_up_with_what_is_popular_and_passes_the_filters() -> None:
    q = candidates(query(10, n=4, unavailable=(1,), seen=seen(0, 5), recent=[("dislike", "i2")]), 5, 9)
    assert left(q) == [9, 3, 4, 6]


def test_where_everything_is_met_the_met_comes_back_before_the_disliked() -> None:
    q = candidates(query(4, n=2, unavailable=(3,), seen=seen(0, 1, 2, 3), recent=[("dislike", "i0")]), 0, 1, 2, 3)
    assert left(q) == [1, 2]


def test_where_everything_is_disliked_even_that_comes_back() -> None:
    q = candidates(query(3, n=2, unavailable=(0,), recent=[("dislike", f"i{k}") for k in range(3)]), 0, 1, 2)
    assert left(q) == [1, 2]


def test_what_cannot_be_had_never_comes_back() -> None:
    assert left(candidates(query(2, unavailable=(0, 1)), 0, 1)) == []


def test_the_ranker_gets_the_best_500() -> None:
    q = candidates(query(700), *range(699, -1, -1))
    assert left(q) == list(range(699, 199, -1))
