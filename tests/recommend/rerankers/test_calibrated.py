"""Calibrated re-ranking against the formula of the paper, computed anew at each step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recommend.rerankers import Calibrated
from recommend.rerankers.calibrated import ALPHA, shares
from recommend.rerankers.tradeoff import relevance
from schemas.events import Item
from tests.recommend.rerankers.made import candidates_of, ordered, random_candidates
from tests.serving.made import person

TASTE = {"a": 0.5, "b": 0.3, "e": 0.1}


def of(taste: dict[str, float]) -> dict[str, object]:
    return person(category_affinity=list(taste), category_affinity_scores=list(taste.values()))


def naive(categories: list[list[str]], scores: np.ndarray, n: int, d: float, taste: dict[str, float]) -> list[int]:
    p = {name: share / sum(taste.values()) for name, share in taste.items()}
    quality, chosen = relevance(scores), list[int]()
    for _ in range(n):
        worth = {}
        for k in set(range(len(scores))) - set(chosen):
            items = [*chosen, k]
            kl = 0.0
            for name, share in p.items():
                q = sum((name in categories[i]) / max(len(categories[i]), 1) for i in items) / len(items)
                kl += share * math.log(share / ((1 - ALPHA) * q + ALPHA * share))
            worth[k] = (1 - d) * quality[items].sum() - d * kl
        chosen.append(max(worth, key=lambda k: (worth[k], -k)))
    return chosen


@pytest.mark.parametrize("d", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_as_the_formula_says(d: float, seed: int) -> None:
    query, candidates = random_candidates(40, seed, n=15, user=of(TASTE))
    assert candidates.scores is not None
    categories = [query.columns.items[row].categories for row in candidates.rows.tolist()]  # type: ignore[union-attr]
    found = Calibrated(diversity=d).order(query, candidates).tolist()
    assert found == naive(categories, candidates.scores, 15, d, TASTE)


def test_at_1_the_list_has_the_person_s_proportions() -> None:
    items = [Item(f"a{k}", "", ["A"]) for k in range(25)] + [Item(f"b{k}", "", ["b"]) for k in range(25)]
    query, candidates = candidates_of(
        items, np.linspace(1, 0, 50).tolist(), [[1, 0, 0, 0]] * 50, n=10, diversity=1.0, user=of({"a": 0.7, "b": 0.3})
    )
    found = ordered(Calibrated(diversity=0), query, candidates)
    assert sorted(name[0] for name in found) == ["a"] * 7 + ["b"] * 3
    assert ordered(Calibrated(diversity=0), query, candidates)[0] == "a0", "of equals the more relevant"


def test_stated_interests_count_where_there_are_no_events() -> None:
    items = [Item(f"a{k}", "", ["a"]) for k in range(10)] + [Item("b", "", ["b"])]
    query, candidates = candidates_of(
        items, np.linspace(1, 0, 11).tolist(), [[1, 0, 0, 0]] * 11, n=2, user=person(interests=["B"])
    )
    assert "b" in ordered(Calibrated(diversity=0.9), query, candidates)


@pytest.mark.parametrize("user", [person(), of({"a": 0.0})])
def test_it_does_not_apply_to_a_person_of_whom_nothing_is_known(user: dict[str, object]) -> None:
    query, _ = random_candidates(5, user=user, diversity=1.0)
    assert not Calibrated(diversity=0.5).applies(query)


def test_shares_of_categories() -> None:
    items = [Item("i0", "", ["a", "B"]), Item("i1", "", []), Item("i2", "", ["c"])]
    query, candidates = candidates_of(items, [3, 2, 1], [[1, 0, 0, 0]] * 3)
    assert shares(query, candidates.rows, ["b", "c", "z"]).tolist() == [[0.5, 0, 0], [0, 0, 0], [0, 1, 0]]
