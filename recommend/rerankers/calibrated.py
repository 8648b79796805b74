"""Calibrated recommendations (Steck, RecSys 2018): categories in the proportions of the person's attention.

The list I maximizes (1 - d) * sum of relevance over I - d * KL(p, q(I)), greedily. p is the person's distribution over
categories, q the list's, of which an item's categories have equal shares; q is smoothed to (1 - ALPHA) * q + ALPHA * p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.tradeoff import Tradeoff, Values, relevance

ALPHA = 0.01
"""as in the paper"""


@dataclass(frozen=True, kw_only=True)
class Calibrated(Tradeoff):
    """Relevance against the distance of the list's categories from the person's. O(pool * n * categories)."""

    name: str = "calibrated"

    def applies(self, query: Query) -> bool:
        """Whether the person's categories are known, by events or stated."""
        return super().applies(query) and any(share > 0 for share in query.liked.values())

    def choose(self, query: Query, rows: Rows, scores: Values, n: int, d: float) -> list[int]:
        named = {name: share for name, share in query.liked.items() if share > 0}
        p = np.array(list(named.values()))
        p /= p.sum()
        of_each = shares(query, rows, list(named))
        value = (1 - d) * relevance(scores)
        total = np.zeros(len(p))
        worth = np.empty(len(rows), np.float64)
        chosen: list[int] = []
        for k in range(1, n + 1):
            # KL(p, q) without the part that is the same for every item
            np.add(value, d * (np.log((1 - ALPHA) / k * (total + of_each) + ALPHA * p) @ p), out=worth)
            best = int(worth.argmax())
            chosen.append(best)
            value[best] = -np.inf
            total += of_each[best]
        return chosen


def shares(query: Query, rows: Rows, names: list[str]) -> Values:
    """Share (n, categories) of each of the categories `names`, case folded, among those of each item; zeros for an item
    without categories."""
    place = {name: k for k, name in enumerate(names)}
    of_codes = query.columns.category_codes.names
    codes = query.columns.categories.take(rows, axis=0)
    found = np.zeros((len(rows), len(names)), np.float32)
    for k, its in enumerate(codes.tolist()):
        present = [code for code in its if code]
        for code in present:
            at = place.get(of_codes[code].casefold())
            if at is not None:
                found[k, at] += 1 / len(present)
    return found
