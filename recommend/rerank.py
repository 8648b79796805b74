"""Re-ranks scored candidates for diversity and recency.

Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) on relevance scaled to 0 … 1, new items raised a
little, and no category more than twice in a row while anything else is available.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.age import ages
from operators.time import DAY
from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.stage import Reranker

HALF_LIFE_DAYS = 3.0
NEW_DAYS = 14.0


@dataclass(frozen=True, kw_only=True)
class Diverse(Reranker):
    """Chooses the first `query.n`, one after the other, from the best of the candidates."""

    name: str = "diverse"
    diversity: float = 0.1
    """what the largest cosine to the items above costs, in units of relevance"""
    freshness: float = 0.15
    """what an item created just now gains; half of it after HALF_LIFE_DAYS"""
    run: int = 2
    """no category more often than this in a row"""
    pool: int = 5
    """so many times n of the best are looked at, 50 at least: a weak item is not raised for variety alone"""

    def order(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        assert candidates.scores is not None
        n = min(query.n, len(candidates))
        rows = candidates.rows[: max(self.pool * n, 50)]
        columns = query.columns
        vectors = query.vectors(rows)
        penalties = (vectors @ vectors.T) * np.float32(self.diversity)
        codes = columns.categories.take(rows, axis=0)
        of_each = codes.tolist()
        value = relevance(candidates.scores[: len(rows)])
        value += self.freshness * recency(columns.created_at.take(rows), query.at)
        worst = np.zeros(len(rows), np.float32)
        worth = np.empty(len(rows), np.float32)
        chosen: list[int] = []
        categories: list[set[int]] = []
        members: dict[int, npt.NDArray[np.bool_]] = {}
        for _ in range(n):
            np.subtract(value, worst, out=worth)
            best = int(worth.argmax())
            its = set(of_each[best])
            if len(categories) >= self.run:
                repeated = categories[-1].intersection(*categories[-self.run : -1])
                repeated.discard(0)  # stands for no category
                if not repeated.isdisjoint(its):
                    for code in repeated:
                        its_own = members.get(code)
                        if its_own is None:
                            its_own = members[code] = (codes == code).any(axis=1)
                        worth[its_own] = -np.inf
                    other = int(worth.argmax())
                    if worth[other] > -np.inf:
                        best, its = other, set(of_each[other])
            chosen.append(best)
            categories.append(its)
            value[best] = -np.inf
            np.maximum(worst, penalties[best], out=worst)
        return np.array(chosen, np.int64)


def is_new(created_at: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.bool_]:
    """Which items count as new, by when they were created (epoch ms, NaN where unknown)."""
    return ages(created_at, at) < NEW_DAYS * DAY


def recency(created_at: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.float32]:
    """1 for an item created just now, half of it after HALF_LIFE_DAYS, 0 for one that is not new."""
    days = ages(created_at, at) / DAY
    return np.where(days < NEW_DAYS, 2.0 ** (-days / HALF_LIFE_DAYS), 0.0).astype(np.float32)


def relevance(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scores (n,) scaled to 0 … 1; zeros where all are equal. Always a copy."""
    if not len(scores):
        return scores.copy()
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)
