"""Items that tell the most, against the posterior computed anew at each step."""

from __future__ import annotations

import numpy as np
import pytest

from recommend.rerankers import Informative
from recommend.rerankers.informative import LIKELY, NOISE
from schemas.events import Item
from tests.recommend.rerankers.made import candidates_of, ordered, random_candidates


def naive(vectors: np.ndarray, scores: np.ndarray, n: int, d: float) -> list[int]:
    """Each time the item that lowers the entropy of the taste most, by its covariance given those before."""
    met = LIKELY * scores.astype(float) / scores.max()
    vectors = vectors.astype(float)
    centred = vectors - np.average(vectors, axis=0, weights=met)
    prior = sum(p * np.outer(v, v) for p, v in zip(met, centred, strict=True)) / met.sum()
    # A ridge, so that a prior that does not span the space has an inverse.
    precision = np.linalg.inv(prior + 1e-9 * np.eye(len(prior)))
    chosen: list[int] = []
    for _ in range(n):
        entropies = np.full(len(vectors), np.inf)
        for k in set(range(len(vectors))) - set(chosen):
            after = precision + met[k] ** (1 / d) / NOISE * np.outer(vectors[k], vectors[k])
            entropies[k] = -np.linalg.slogdet(after).logabsdet
        chosen.append(int(entropies.argmin()))
        precision += met[chosen[-1]] ** (1 / d) / NOISE * np.outer(vectors[chosen[-1]], vectors[chosen[-1]])
    return chosen


@pytest.mark.parametrize("d", [0.5, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_as_the_posterior_says(d: float, seed: int) -> None:
    query, candidates = random_candidates(40, seed, n=12)
    assert candidates.scores is not None
    candidates.scores[:] = np.linspace(3, 0.1, 40)
    found = Informative(diversity=d).order(query, candidates).tolist()
    assert found == naive(query.vectors(candidates.rows), candidates.scores, 12, d)


def test_of_two_alike_one_is_asked_and_of_two_as_telling_the_popular_one() -> None:
    items = [Item(f"i{k}") for k in range(5)]
    vectors = [[1, 0, 0, 0], [0.999, 0.04, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    query, candidates = candidates_of(items, [9, 9, 9, 9, 9], vectors, n=5)
    found = ordered(Informative(diversity=1), query, candidates)
    assert len({*found[:4]} & {"i0", "i1"}) == 1
    query, candidates = candidates_of(items, [9, 9, 3, 4, 5], vectors, n=5)
    found = ordered(Informative(diversity=1), query, candidates)
    assert found.index("i4") < found.index("i3") < found.index("i2")


def test_nobody_s_items_and_items_without_vectors_keep_their_order() -> None:
    query, candidates = candidates_of([Item(f"i{k}") for k in range(4)], [0, 0, 0, 0], [[1, 0, 0, 0]] * 4, n=4)
    assert ordered(Informative(diversity=1), query, candidates) == ["i0", "i1", "i2", "i3"]
    query, candidates = candidates_of([Item(f"i{k}") for k in range(4)], [3, 2, 1, 0], [[0, 0, 0, 0]] * 4, n=4)
    assert ordered(Informative(diversity=1), query, candidates) == ["i0", "i1", "i2", "i3"]
