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
        order = np.argsort(found.rows)
        known = found.rows[order]
        if not len(known):
            return Scores(np.zeros((len(rows), 1), np.float32))
        place = np.searchsorted(known, rows).clip(max=len(known) - 1)
        scores = np.where(known[place] == rows, found.scores[order][place], np.float32(0))
        return Scores(scores.astype(np.float32)[:, None])
