"""Scores that were computed before, for the candidates of several lists at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.stage import Ranker, Scores, StageError


@dataclass(frozen=True, kw_only=True)
class Scored(Ranker):
    """The heads and features that `found` has of each candidate. Fails for one that it does not have."""

    name: str = "model"
    found: CandidateSet
    """ranked, rows ascending"""

    def score(self, query: Query, rows: Rows) -> Scores:
        found = self.found
        place = np.searchsorted(found.rows, rows)
        if found.heads is None or (place >= len(found)).any() or (found.rows[place] != rows).any():
            raise StageError("a candidate has no score")
        features = None if found.features is None else found.features.take(place, axis=0)
        parts, weights = query.parts, None
        if parts.ranker is not None and found.head_names[: len(parts.ranker.heads)] == tuple(parts.ranker.heads):
            others = found.head_names[len(parts.ranker.heads) :]  # such as that of priors
            own = parts.objective or dict.fromkeys(parts.ranker.heads, 1.0)
            weights = {**own, **dict.fromkeys(others, 1.0)}
        return Scores(found.heads.take(place, axis=0), found.head_names, weights, features, found.feature_names)
