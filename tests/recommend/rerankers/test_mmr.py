"""From scores to an order that people like to read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from operators.time import DAY
from recommend.candidate_set import CandidateSet
from recommend.rerankers import Diverse, Mmr
from recommend.rerankers.tradeoff import relevance
from recommend.steps import rerank
from recommend.surfaces import home
from recommend.trace import Trace
from schemas.events import Item
from tests.recommend.rerankers.made import candidates_of, ordered, random_candidates
from tests.serving.made import NOW, catalogue, pipeline

AXES = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def order(
    items: list[Item], scores: list[float], n: int = 20, vectors: list[list[float]] | None = None, plain: bool = False
) -> list[str]:
    """The feed of these candidates, without re-rankers where `plain`; vectors far apart unless given."""
    made = catalogue(items, {i.item_id: (vectors or AXES * 100)[k] for k, i in enumerate(items)})
    found = pipeline(made)
    best = np.argsort(-np.array(scores), kind="stable")
    candidates = CandidateSet(best, np.ones(len(items), np.uint32), ("any",), np.array(scores, np.float32)[best])
    surface = replace(home, rerankers=()) if plain else home
    shown = rerank(surface, found.query(at=NOW, n=n), candidates, Trace())
    return [found.columns.ids[row] for row in shown.rows.tolist()]


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


def test_weak_items_are_not_raised_for_variety() -> None:
    items = named(*["a"] * 50, "b")
    assert "i50" not in order(items, [*np.linspace(1, 0.5, 50), 0.0], n=10)


def test_by_score_alone_without_re_rankers() -> None:
    assert order(named("a", "a", "a", "b"), [2, 4, 3, 1], n=3, plain=True) == ["i1", "i2", "i0"]


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_never_more_than_asked_for(n: int) -> None:
    assert len(order(named("a", "b", "c"), [1, 2, 3], n=n)) == min(n, 3)


def test_nothing_of_nothing() -> None:
    assert order([], []) == []


def naive(vectors: np.ndarray, scores: np.ndarray, n: int, d: float) -> list[int]:
    """Carbonell and Goldstein's formula, computed anew at each step."""
    chosen: list[int] = []
    for _ in range(n):
        worth = {
            k: (1 - d) * scores[k] - d * max([0.0, *(float(vectors[k] @ vectors[j]) for j in chosen)])
            for k in set(range(len(scores))) - set(chosen)
        }
        chosen.append(max(worth, key=lambda k: (worth[k], -k)))
    return chosen


@pytest.mark.parametrize("d", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_as_the_formula_says(d: float, seed: int) -> None:
    query, candidates = random_candidates(40, seed, n=15)
    assert candidates.scores is not None
    vectors = query.vectors(candidates.rows).astype(np.float64)
    expected = naive(vectors, relevance(candidates.scores).astype(np.float64), 15, d)
    assert Mmr(diversity=d).order(query, candidates).tolist() == expected


def test_at_1_the_most_relevant_is_first_and_the_next_is_unlike_it() -> None:
    vectors = [[1, 0, 0, 0], [0.9, 0.1, 0, 0], [0.5, 0.5, 0, 0], [0, 1, 0, 0]]
    query, candidates = candidates_of(named("", "", "", ""), [4, 3, 2, 1], vectors, n=2, diversity=1.0)
    assert ordered(Mmr(diversity=0), query, candidates) == ["i0", "i3"]
    assert ordered(Diverse(), query, candidates) == ["i0", "i3"]


def test_a_surface_without_diversity_keeps_what_else_it_has() -> None:
    query, candidates = candidates_of(named("a", "a", "a", "b"), [4, 3, 2, 1], AXES, n=4)
    assert ordered(Diverse(diversity=0), query, candidates) == ["i0", "i1", "i3", "i2"]
    assert Diverse(diversity=0).applies(query)
    assert not Mmr(diversity=0).applies(query)
    query.diversity = 0.0
    assert not Diverse().applies(query)
