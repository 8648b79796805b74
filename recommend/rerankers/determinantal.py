"""Greedy maximum a posteriori inference for a determinantal point process.

The kernel is L = Diag(exp(a * r)) S Diag(exp(a * r)) with relevance r and a = (1 - d) / 2d, so that d * log det(L_Y) =
(1 - d) * sum of r over Y + d * log det(S_Y). Each step adds the item that raises it most, by an incremental Cholesky
factorization of S (Chen, Zhang, Zhou, "Fast Greedy MAP Inference for Determinantal Point Process to Improve
Recommendation Diversity", NeurIPS 2018, algorithm 1 and section 4.1).

Unlike maximal marginal relevance, it counts the volume that all items span together, not the nearest one alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.tradeoff import Tradeoff, Values, compared_vectors, relevance

RIDGE = np.float32(0.01)
"""share of the identity in S, so that more items than dimensions have a determinant"""


@dataclass(frozen=True, kw_only=True)
class Determinantal(Tradeoff):
    """Relevance against the logarithm of the volume that the items span. O(pool * n * (dim + n))."""

    name: str = "determinantal"

    def choose(self, query: Query, rows: Rows, scores: Values, n: int, d: float) -> list[int]:
        vectors = compared_vectors(query, rows)
        quality = (1 - d) * relevance(scores)
        left = np.ones(len(rows), np.float32)  # the diagonal: what of each item those above do not span
        factors = np.zeros((n, len(rows)), np.float32)  # of Cholesky, a row an item above
        chosen: list[int] = []
        for k in range(n):
            best = int((quality + d * np.log(left)).argmax())
            chosen.append(best)
            quality[best] = -np.inf
            row = similarity(vectors, best) - factors[:k, best] @ factors[:k]
            row /= np.sqrt(left[best])
            factors[k] = row
            # An item's own ridge is never spanned by others; rounding may say so.
            np.maximum(left - row * row, RIDGE / 2, out=left)
        return chosen


def similarity(vectors: Values, position: int) -> Values:
    """One row (n,) of S, from the vectors (n, dim): (1 + cosine) / 2, as in the paper's experiments, with RIDGE. An
    item without a vector has the similarity of unrelated items."""
    found = (vectors @ vectors[position] + 1) * ((1 - RIDGE) / 2)
    found[position] = 1
    return found
