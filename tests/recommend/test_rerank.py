"""From scores to an order that people like to read."""

from __future__ import annotations

import numpy as np
import pytest

from operators.time import DAY
from recommend import rerank
from recommend.query import FeedRequest, Query
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline

AXES = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def order(
    items: list[Item], scores: list[float], n: int = 20, vectors: list[list[float]] | None = None, plain: bool = False
) -> list[str]:
    """The feed of these candidates; vectors far apart unless given."""
    made = catalogue(items, {i.item_id: (vectors or AXES * 100)[k] for k, i in enumerate(items)})
    found = pipeline(made)
    q = Query(FeedRequest(person(), NOW, n=n), found.columns, found.model, found.popular)
    q.rows = np.arange(len(items))
    q.sources = np.full(len(items), 8, np.uint8)
    q.scores = np.array(scores, np.float32)
    (rerank.by_score if plain else rerank.rerank)(q)
    return [found.columns.ids[row] for row in q.rows.tolist()]


def named(*categories: str) -> list[Item]:
    return [Item(f"i{k}", "", [c] if c else []) for k, c in enumerate(categories)]


def test_by_score() -> None:
    assert order(named("", "", "", ""), [1, 3, 2, 4], n=3) == ["i3", "i1", "i2"]


def test_no_category_three_times_in_a_row() -> None:
    assert order(named("a", "a", "a", "a", "b"), [5, 4, 3, 2, 1]) == ["i0", "i1", "i4", "i2", "i3"]


def test_where_nothing_else_is_there_the_category_goes_on() -> None:
    assert order(named("a", "a", "a"), [3, 2, 1]) == ["i0", "i1", "i2"]


def test_items_without_category_are_no_run() -> None:
    assert order(named("", "", "", "b"), [4, 3, 2, 1]) == ["i0", "i1", "i2", "i3"]


def test_any_category_in_common_is_a_run() -> None:
    items = [Item("i0", "", ["a", "x"]), Item("i1", "", ["y", "a"]), Item("i2", "", ["a", "z"]), Item("i3", "", ["x"])]
    assert order(items, [4, 3, 2, 1]) == ["i0", "i1", "i3", "i2"]


def test_of_two_as_good_the_one_unlike_those_above_comes_first() -> None:
    vectors = [[1, 0, 0, 0], [0.99, 0.1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert order(named("", "", "", ""), [1.0, 0.95, 0.95, 0.0], vectors=vectors) == ["i0", "i2", "i1", "i3"]


def test_much_better_beats_being_unlike() -> None:
    vectors = [[1, 0, 0, 0], [0.99, 0.1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert order(named("", "", "", ""), [1.0, 0.9, 0.5, 0.0], vectors=vectors)[1] == "i1"


@pytest.mark.parametrize(
    ("days", "lifted"),
    [(0, True), (13, False), (100, False), (None, False), (-1 / 1440, True), (-1, False), (-73_000, False)],
)
def test_what_is_new_is_lifted_a_little(days: float | None, lifted: bool) -> None:
    items = [
        Item("i0"),
        Item("i1"),
        Item("i2", created_at=None if days is None else NOW - round(days * DAY)),
        Item("i3"),
    ]
    assert (order(items, [1.0, 0.6, 0.5, 0.0])[1] == "i2") is lifted


def test_the_weak_are_not_lifted_for_varietys_sake() -> None:
    items = named(*["a"] * 50, "b")
    assert "i50" not in order(items, [*np.linspace(1, 0.5, 50), 0.0], n=10)


def test_by_score_alone_where_re_ranking_fails() -> None:
    assert order(named("a", "a", "a", "b"), [2, 4, 3, 1], n=3, plain=True) == ["i1", "i2", "i0"]


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_never_more_than_asked_for(n: int) -> None:
    assert len(order(named("a", "b", "c"), [1, 2, 3], n=n)) == min(n, 3)


def test_nothing_of_nothing() -> None:
    assert order([], []) == []
