"""Another ranker's scores with popularity as a prior, whose weight falls with what is known of the person."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from feature_repo.candidates import Candidates
from feature_repo.columns import Rows
from feature_repo.inputs import popularity
from recommend.model import Parts
from recommend.query import Query
from recommend.rankers.onnx import Onnx
from recommend.stage import Ranker, Scores

HEAD = "popularity"
STRENGTH = 1.0
HALF = 5.0
LIFT = 5.0


@dataclass(frozen=True, kw_only=True)
class Cautious(Ranker):
    """The scores of the ranker `of`, and the head HEAD: log2 of the candidate's decayed popularity relative to the most
    popular item's, times a weight that is `strength` for a person without events, and half of it after `half` of them.
    """

    name: str = "cautious"
    of: Ranker = field(default_factory=Onnx)
    strength: float = STRENGTH
    half: float = HALF
    lift: float = LIFT

    def applies(self, query: Query) -> bool:
        return self.of.applies(query)

    def score(self, query: Query, rows: Rows) -> Scores:
        found = self.of.score(query, rows)
        weight = self.strength / (1 + len(query.user["recent_items"]) / self.half)
        prior = popularity(Candidates(query.ranking, rows))
        if query.difference is not None:
            prior = prior + self.lift * (query.vectors(rows) @ query.difference)
        prior = weight * prior
        values = np.concatenate([found.values, prior.astype(np.float32)[:, None]], axis=1)
        weights = dict.fromkeys(found.heads, 1.0) if found.weights is None else found.weights
        return found._replace(values=values, heads=(*found.heads, HEAD), weights={**weights, HEAD: 1.0})

    def heads(self, parts: Parts) -> tuple[str, ...]:
        return (*self.of.heads(parts), HEAD)

    def wanted_pairs(self, query: Query, rows: Rows) -> dict[str, list[str]]:
        return self.of.wanted_pairs(query, rows)
