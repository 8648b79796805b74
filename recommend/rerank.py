"""Re-ranking: from scores to an order that people like to read.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) on relevance scaled to 0 … 1, new items
lifted a little, and no category more than twice in a row while anything else is there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feature_repo.age import ages
from operators.time import DAY
from recommend.query import Query

DIVERSITY = 0.1
"""what the largest cosine to the items above costs, in units of relevance"""
FRESHNESS = 0.15
"""what an item created just now gains; half of it after HALF_LIFE_DAYS"""
HALF_LIFE_DAYS = 3.0
NEW_DAYS = 14.0
POOL = 5
"""re-ranking looks at this many times n of the best: something weak is not lifted for variety's sake"""
RUN = 2
"""no category more often than this in a row"""


def rerank(query: Query) -> None:
    """Leaves the n items of the feed, in their order."""
    n = min(query.request.n, len(query.rows))
    pool = np.argsort(-query.scores, kind="stable")[: max(POOL * n, 50)]
    columns = query.columns
    rows = query.rows[pool]
    vectors = columns.vectors.take(rows, axis=0)
    cosines = vectors @ vectors.T
    codes = columns.categories.take(rows, axis=0)
    value = _relevance(query.scores[pool]) + _boost(columns.created_at[rows], query.request.at)
    nearest = np.zeros(len(pool), np.float32)
    chosen: list[int] = []
    above: list[set[int]] = []
    for _ in range(n):
        worth = value - DIVERSITY * nearest
        common = set.intersection(*above[-RUN:]) - {0} if len(above) >= RUN else set()
        if common:
            fits = worth.copy()
            for code in common:
                fits[(codes == code).any(axis=1)] = -np.inf
            if fits.max() > -np.inf:
                worth = fits
        best = int(worth.argmax())
        chosen.append(best)
        above.append(set(codes[best].tolist()))
        value[best] = -np.inf
        np.maximum(nearest, cosines[best], out=nearest)
    query.keep(pool[np.array(chosen, np.int64)])


def by_score(query: Query) -> None:
    """The n best by score: what is left where re-ranking fails."""
    query.keep(np.argsort(-query.scores, kind="stable")[: query.request.n])


def is_new(created_at: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.bool_]:
    """Which items count as new, by when they were created (epoch ms, NaN where unknown)."""
    return ages(created_at, at) < NEW_DAYS * DAY


def _relevance(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if not len(scores):
        return scores
    low, high = float(scores.min()), float(scores.max())
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


def _boost(created: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.float64]:
    days = ages(created, at) / DAY
    return np.where(is_new(created, at), FRESHNESS * 2.0 ** (-days / HALF_LIFE_DAYS), 0.0)
