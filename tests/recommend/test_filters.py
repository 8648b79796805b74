"""Which candidates may stay, and what fills up an answer of too few."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recommend import steps
from recommend.candidate_set import merge
from recommend.filters import NotItself
from recommend.query import Query
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
    found = steps.filter(home, q, merge([np.array(rows, np.int64)], ("any", steps.FILL)), trace)
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
