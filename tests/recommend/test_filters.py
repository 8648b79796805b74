"""Which candidates may stay, and what fills up an answer of too few."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feature_repo.columns import Rows
from recommend import steps
from recommend.candidate_set import merge
from recommend.filling import FILL
from recommend.filters import NotItself
from recommend.query import Query
from recommend.stage import Retriever, StageError
from recommend.surfaces import home
from recommend.trace import Trace
from schemas.events import Item
from tests.serving.made import NOW, catalogue, met, person, pipeline, popular


def query(n_items: int, n: int = 5, unavailable: tuple[int, ...] = (), **row: object) -> Query:
    """A query of the catalogue i0, i1, …; the smaller the number, the more popular."""
    made = catalogue([Item(f"i{k}", available=k not in unavailable) for k in range(n_items)])
    popular(made, {f"i{k}": -float(k) for k in range(n_items)})
    return pipeline(made).query(at=NOW, user=person(**row), n=n)  # type: ignore[arg-type]


def left(q: Query, *rows: int) -> tuple[list[int], Trace]:
    """Numbers of the items that are left of those candidates, and what each filter did."""
    trace = Trace()
    found = steps.filter(home, q, merge([np.array(rows, np.int64)], ("any", FILL)), trace)
    return [int(q.columns.ids[row][1:]) for row in found.rows.tolist()], trace


def seen(*numbers: int) -> dict[str, Any]:
    return met(f"i{k}" for k in numbers)


def test_unavailable_disliked_and_met_items_are_removed_each_by_its_filter() -> None:
    q = query(8, n=2, unavailable=(1,), recent=[("dislike", "i2"), ("like", "i4")], **seen(3))
    rows, trace = left(q, 0, 1, 2, 3, 4)
    assert rows == [0, 4]
    assert [(s.stage, s.candidates_in, s.candidates_out, s.removed) for s in trace.stages] == [
        ("unavailable", 5, 4, 1), ("disliked", 4, 3, 1), ("seen", 3, 2, 1),
    ]  # fmt: skip


def test_too_few_are_filled_up_with_what_is_popular_and_passes_the_filters() -> None:
    q = query(10, n=4, unavailable=(1,), **seen(0, 5), recent=[("dislike", "i2")])
    assert left(q, 5, 9)[0] == [9, 3, 4, 6]


@pytest.mark.parametrize("n_items", [30, 3])
def test_a_fallback_that_has_no_best_ones_is_searched_once(n_items: int) -> None:
    searched: list[int] = []

    class Own(Retriever):
        def find(self, query: Query) -> Rows:
            searched.append(query.n)
            return np.arange(query.columns.n)

    q, trace = query(n_items, n=5), Trace()
    surface = replace(home, fallback=Own(name="own", quota=5))
    found = steps.filter(surface, q, merge([np.array([2], np.int64)], ("any", FILL)), trace)
    assert found.rows.tolist()[:3] == [2, 0, 1]
    assert len(found) == min(n_items, 5)
    assert searched == [5]


def test_a_fallback_that_fails_is_searched_once_too() -> None:
    class Own(Retriever):
        def find(self, query: Query) -> Rows:
            raise StageError("away")

    q, trace = query(9, n=3), Trace()
    surface = replace(home, fallback=Own(name="own", quota=5))
    assert steps.filter(surface, q, merge([np.array([2], np.int64)], ("any", FILL)), trace).rows.tolist() == [2, 0, 1]
    failed = [each for each in trace.stages if each.failed]
    assert [(each.stage, each.fell_back) for each in failed] == [
        ("own", "available items in the order of the catalogue")
    ]


def test_where_everything_is_met_the_met_comes_back_before_the_disliked() -> None:
    q = query(4, n=2, unavailable=(3,), **seen(0, 1, 2, 3), recent=[("dislike", "i0")])
    assert left(q, 0, 1, 2, 3)[0] == [1, 2]


def test_where_everything_is_disliked_even_that_comes_back() -> None:
    q = query(3, n=2, unavailable=(0,), recent=[("dislike", f"i{k}") for k in range(3)])
    assert left(q, 0, 1, 2)[0] == [1, 2]


def test_what_cannot_be_had_never_comes_back() -> None:
    assert left(query(2, unavailable=(0, 1)), 0, 1)[0] == []


def test_the_ranker_gets_the_best_500() -> None:
    assert left(query(700), *range(699, -1, -1))[0] == list(range(699, 199, -1))


def test_the_item_that_others_are_compared_with_is_removed() -> None:
    assert NotItself().keep(replace(query(3), item=1), np.array([0, 1, 2])).tolist() == [True, False, True]
