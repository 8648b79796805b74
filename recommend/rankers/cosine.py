"""Scores by similarity to one item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Ranker, Scores


@dataclass(frozen=True, kw_only=True)
class Cosine(Ranker):
    """The cosine of the query's item and each candidate, -1 to 1. Left to its fallback where the item has no vector."""

    name: str = "cosine"

    def applies(self, query: Query) -> bool:
        return bool(query.has_vector(np.array([query.item]))[0])

    def score(self, query: Query, rows: Rows) -> Scores:
        vector = query.vectors(np.array([query.item]))[0]
        return Scores((query.vectors(rows) @ vector)[:, None])
