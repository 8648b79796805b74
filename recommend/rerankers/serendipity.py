"""Relevant items that are far from what the person has met.

An item's surprise is its distance, 1 - cosine, to the nearest of the items that the person was drawn to lately
(Kaminskas and Bridge, "Diversity, Serendipity, Novelty, and Coverage", ACM TiiS 7(1), 2016, section 3.3), scaled to 0 …
1; it is weighed linearly against relevance, as in Auralist (Zhang, Ó Séaghdha, Quercia, Jambor, WSDM 2012).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.tradeoff import Tradeoff, Values, compared_vectors, relevance


@dataclass(frozen=True, kw_only=True)
class Serendipity(Tradeoff):
    """Relevance and surprise of each item by itself. O(pool * anchors * dim)."""

    name: str = "serendipity"

    def applies(self, query: Query) -> bool:
        """Whether the person was drawn to any item."""
        return super().applies(query) and len(query.anchors.rows) > 0

    def choose(self, query: Query, rows: Rows, scores: Values, n: int, d: float) -> npt.NDArray[np.int64]:
        worth = (1 - d) * relevance(scores) + d * surprise(query, rows)
        return np.argsort(-worth, kind="stable")[:n]


def surprise(query: Query, rows: Rows) -> Values:
    """Distance (n,), 0 … 1, of rows (n,) to the nearest of the person's anchors; 0 for an item without a vector, of
    which nothing is known."""
    vectors, anchors = compared_vectors(query, rows), compared_vectors(query, query.anchors.rows)
    anchors = anchors[anchors.any(axis=1)]
    if not len(anchors):
        return np.zeros(len(rows), np.float32)
    nearest = (vectors @ anchors.T).max(axis=1)
    distance = ((1 - nearest) / 2).clip(0, 1)
    return np.where(vectors.any(axis=1), distance, np.float32(0))
