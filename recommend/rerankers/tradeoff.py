"""The interface of re-rankers that trade relevance for a second criterion, and the parts that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.stage import Reranker

POOL, LEAST_POOL = 5, 50
Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Tradeoff(Reranker, ABC):
    """Chooses the first `query.n` among the best of the candidates.

    What is maximized is (1 - d) * relevance + d * criterion: d = 0 is the ranker's order and d = 1 the criterion alone,
    where of equal candidates the more relevant comes first. d is the query's `diversity` where it has one, else the
    surface's.
    """

    diversity: float
    """the surface's own d, 0 … 1"""
    pool: int = POOL
    """the best `pool` * n candidates are considered, LEAST_POOL at least: no weak item is raised for variety alone"""

    def __post_init__(self) -> None:
        """Raises ValueError where `diversity` or `pool` is out of range."""
        if not 0 <= self.diversity <= 1:
            raise ValueError(f"{self.name}: diversity is {self.diversity}; it is from 0 to 1")
        if self.pool < 1:
            raise ValueError(f"{self.name}: pool is {self.pool}; it is 1 at least")

    def applies(self, query: Query) -> bool:
        """Whether anything but relevance counts."""
        return self.strength(query) > 0

    def strength(self, query: Query) -> float:
        """d, 0 … 1."""
        return self.diversity if query.diversity is None else query.diversity

    def order(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        """Positions of the chosen candidates, best first, `query.n` where there are as many."""
        assert candidates.scores is not None
        n = min(query.n, len(candidates))
        most = considered(n, self.pool)
        rows, scores = candidates.rows[:most], candidates.scores[:most]
        return np.array(self.choose(query, rows, scores, n, self.strength(query)), np.int64)

    @abstractmethod
    def choose(self, query: Query, rows: Rows, scores: Values, n: int, d: float) -> list[int] | npt.NDArray[np.int64]:
        """Positions (n,) among `rows` (m,) with `scores` (m,), best first; n <= m."""


def considered(n: int, pool: int = POOL) -> int:
    """How many candidates a list of n is chosen from."""
    return max(pool * n, LEAST_POOL)


def relevance(scores: Values) -> Values:
    """Scores (n,) scaled to 0 … 1; zeros where all are equal. Always a copy."""
    if not len(scores):
        return scores.copy()
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.zeros_like(scores)


def compared_vectors(query: Query, rows: Rows) -> Values:
    """Item vectors (n, dim) of rows (n,) in the surface's space, or that of the user vectors where the bundle gives the
    surface none. Zeros where an item has no vector, or one that is not finite: it is then unlike every other, and
    spoils no product."""
    if query.parts.space is None and query.model is not None:
        vectors = query.model.user_space.vectors_of(rows)
    else:
        vectors = query.vectors(rows)
    finite = np.isfinite(vectors)
    return vectors if finite.all() else np.where(finite.all(axis=1, keepdims=True), vectors, np.float32(0))
