"""Scores by what other people liked lately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.retrievers.favoured import has_favourites
from recommend.stage import Ranker, Scores


@dataclass(frozen=True, kw_only=True)
class ByFavour(Ranker):
    """The score of recommend/favourites.py; 0 for candidates that none of the people `whose` liked, which keep their
    order. Left to its fallback where they liked nothing."""

    name: str = "favour"
    whose: str

    def applies(self, query: Query) -> bool:
        return has_favourites(query, self.whose)

    def score(self, query: Query, rows: Rows) -> Scores:
        found = query.others[self.whose]
        order = np.argsort(found.rows)
        known = found.rows[order]
        place = np.searchsorted(known, rows).clip(max=len(known) - 1)
        return Scores(np.where(known[place] == rows, found.scores[order][place], np.float32(0))[:, None])

    def wanted_pairs(self, query: Query, rows: Rows) -> dict[str, list[str]]:
        if self.fallback is None or self.applies(query):
            return {}
        return self.fallback.wanted_pairs(query, rows)
