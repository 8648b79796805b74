"""Scores by similarity to one item, by behaviour and by content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.model import Parts
from recommend.query import Query
from recommend.similarity import similarity
from recommend.stage import Ranker, Scores

BEHAVIOUR, CONTENT = "behaviour", "content"
HEADS = (BEHAVIOUR, CONTENT)
FEATURES = ("learned", "bought_with")
"""whether both vectors are of behaviour, and the confidence by baskets"""


@dataclass(frozen=True, kw_only=True)
class Blended(Ranker):
    """The two numbers of recommend/similarity.py of the query's item and each candidate, -1 to 1, which the surface's
    objective weighs. Left to its fallback where the item has no vector."""

    name: str = "blended"

    def applies(self, query: Query) -> bool:
        return bool(query.has_vector(np.array([query.item]))[0])

    def heads(self, parts: Parts) -> tuple[str, ...]:
        return HEADS

    def score(self, query: Query, rows: Rows) -> Scores:
        found = similarity(query, rows)
        features = np.zeros((len(rows), len(FEATURES)), np.float32)
        features[:, 0] = found.learned
        if found.confidence is not None:
            features[:, 1] = found.confidence
        values = np.empty((len(rows), len(HEADS)), np.float32)
        values[:, 0], values[:, 1] = found.behaviour, found.content
        return Scores(values, HEADS, None, features, FEATURES)
