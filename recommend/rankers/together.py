"""Scores by what is bought together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Ranker, Scores


@dataclass(frozen=True, kw_only=True)
class ByCooccurrence(Ranker):
    """The score of recommend/together.py, summed over the cart; 0 for candidates that were in no basket with any of it,
    which keep their order."""

    name: str = "together"
    fills_behind: bool = True

    def score(self, query: Query, rows: Rows) -> Scores:
        found = query.together
        if not len(found.rows):
            return Scores(np.zeros((len(rows), 1), np.float32))
        order = found.rows.argsort()
        known = found.rows.take(order)
        place = known.searchsorted(rows)
        scores = found.scores.take(order).take(place, mode="clip")
        scores *= known.take(place, mode="clip") == rows
        return Scores(scores[:, None])
