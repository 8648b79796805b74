"""Determinantal re-ranking against determinants that are computed anew at each step."""

from __future__ import annotations

import numpy as np
import pytest

from recommend.rerankers import Determinantal
from recommend.rerankers.determinantal import similarity
from recommend.rerankers.tradeoff import relevance
from schemas.events import Item
from tests.recommend.rerankers.made import candidates_of, ordered, random_candidates


def naive(vectors: np.ndarray, scores: np.ndarray, n: int, d: float) -> list[int]:
    kernel = np.stack([similarity(vectors, k) for k in range(len(vectors))]).astype(np.float64)
    quality, chosen = relevance(scores).astype(np.float64), list[int]()
    for _ in range(n):
        worth = np.full(len(vectors), -np.inf)
        for k in set(range(len(vectors))) - set(chosen):
            of = [*chosen, k]
            worth[k] = (1 - d) * quality[of].sum() + d * np.linalg.slogdet(kernel[np.ix_(of, of)]).logabsdet
        chosen.append(int(worth.argmax()))
    return chosen


@pytest.mark.parametrize("d", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_as_determinants_say(d: float, seed: int) -> None:
    query, candidates = random_candidates(30, seed, n=12)  # three times as many as dimensions
    assert candidates.scores is not None
    found = Determinantal(diversity=d).order(query, candidates).tolist()
    assert found == naive(query.vectors(candidates.rows), candidates.scores, 12, d)


def test_two_that_are_alike_are_not_both_first() -> None:
    items = [Item(f"i{k}") for k in range(4)]
    vectors = [[1, 0, 0, 0], [0.999, 0.04, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    query, candidates = candidates_of(items, [1.0, 0.95, 0.9, 0.0], vectors, n=4)
    assert ordered(Determinantal(diversity=0.01), query, candidates) == ["i0", "i1", "i2", "i3"]
    assert ordered(Determinantal(diversity=0.1), query, candidates) == ["i0", "i2", "i1", "i3"]


def test_copies_of_one_item_are_ordered_by_relevance() -> None:
    query, candidates = candidates_of(
        [Item(f"i{k}") for k in range(60)], np.linspace(1, 0, 60).tolist(), [[1, 0, 0, 0]] * 60, n=60
    )
    assert Determinantal(diversity=0.9).order(query, candidates).tolist() == list(range(60))
