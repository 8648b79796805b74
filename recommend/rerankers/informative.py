"""Items of which an answer tells the most about a person of whom nothing is known.

A person's taste is a vector with a Gaussian prior: the covariance of the pool's item vectors, weighted by how many
people meet each. Whoever has met an item answers with its cosine to the taste, and noise of variance NOISE; that they
have met it has the probability p. Each step takes the item with the largest expected reduction of the entropy of the
taste, log(1 + p v'Cv / NOISE) / 2, and conditions the covariance C on it, by its p (Bayesian experimental design:
Chaloner and Verdinelli, Statistical Science 10(3), 1995; active learning in recommenders: Elahi, Ricci and Rubens,
Computer Science Review 20, 2016). The reduction is submodular: greedy choice is within 1 - 1/e of the best set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.tradeoff import Tradeoff, Values, compared_vectors

NOISE = 0.1
LIKELY = 0.5
"""probability that a new person has met the most popular item of the pool"""


@dataclass(frozen=True, kw_only=True)
class Informative(Tradeoff):
    """What an answer tells, weighed by the chance that there is one. With d below 1 popular items count for more.
    O(pool * n * dim)."""

    name: str = "informative"
    pool: int = 15

    def choose(self, query: Query, rows: Rows, scores: Values, n: int, d: float) -> list[int]:
        if not n:
            return []
        vectors = compared_vectors(query, rows).astype(np.float64)
        met = scores.astype(np.float64) - min(0.0, float(scores.min()))  # controls may have lowered some below 0
        if not met.any():  # no item has an event yet: all alike
            met[:] = 1.0
        met *= LIKELY / met.max()
        chances = met ** (1 / d)
        total = met.sum()
        centred = vectors - met @ vectors / total
        covariance = (centred * met[:, None]).T @ centred / total
        chosen: list[int] = []
        spread = vectors @ covariance  # (m, dim): C v of each, before any item is chosen
        variance = np.einsum("md,md->m", spread, vectors)
        # C is what it was less the outer products of these, one for each item chosen: of its C v an item needs its own.
        removed = np.empty((n, vectors.shape[1]))
        weights = chances / NOISE
        for k in range(n):
            gains = np.log1p(weights * np.maximum(variance, 0))
            gains[chosen] = -1.0
            best = int(gains.argmax())
            chosen.append(best)
            found = spread[best] - (removed[:k] @ vectors[best]) @ removed[:k]
            removed[k] = found / np.sqrt(NOISE / max(chances[best], 1e-12) + variance[best])
            shares = vectors @ removed[k]
            variance -= shares * shares
        return chosen
