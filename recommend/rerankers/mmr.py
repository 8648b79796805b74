"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998), with what a feed needs beside it.

The next item is the one with the largest (1 - d) * value - d * max(0, largest cosine to an item above it), where the
value is relevance, plus what a new item gains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.recency import recency
from recommend.rerankers.tradeoff import Tradeoff, Values, compared_vectors, relevance


@dataclass(frozen=True, kw_only=True)
class Mmr(Tradeoff):
    """Relevance against the largest cosine to the items above. O(pool * (dim * pool + n))."""

    name: str = "mmr"
    freshness: float = 0.0
    """what an item created just now gains, in units of relevance; see `recency` for older ones"""
    run: int = 0
    """no category more often than this in a row while anything else is available; 0 is without a limit"""

    def applies(self, query: Query) -> bool:
        # A request's 0 is relevance alone; a surface's 0 leaves freshness and runs as they are.
        own = query.diversity is None and (self.freshness > 0 or self.run > 0)
        return own or super().applies(query)

    def choose(self, query: Query, rows: Rows, scores: Values, n: int, d: float) -> list[int]:
        columns = query.columns
        vectors = compared_vectors(query, rows)
        penalties = (vectors @ vectors.T) * np.float32(d / (1 - d) if d < 1 else 1.0)
        codes = columns.categories.take(rows, axis=0) if self.run else None
        of_each = [] if codes is None else codes.tolist()
        value = relevance(scores)
        if self.freshness:
            value += self.freshness * recency(columns.created_at.take(rows), query.at)
        if d == 1:
            value[:] = 0
        worst = np.zeros(len(rows), np.float32)
        worth = np.empty(len(rows), np.float32)
        chosen: list[int] = []
        categories: list[set[int]] = []
        members: dict[int, npt.NDArray[np.bool_]] = {}
        for _ in range(n):
            np.subtract(value, worst, out=worth)
            best = int(worth.argmax())
            if codes is not None:
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
                categories.append(its)
            chosen.append(best)
            value[best] = -np.inf
            np.maximum(worst, penalties[best], out=worst)
        return chosen


@dataclass(frozen=True, kw_only=True)
class Diverse(Mmr):
    """Maximal marginal relevance as a feed has it: new items raised a little, and no category in three in a row."""

    name: str = "diverse"
    diversity: float = 1 / 11
    """the largest cosine costs a tenth of a unit of relevance"""
    freshness: float = 0.15
    run: int = 2
