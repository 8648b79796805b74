"""Scores with the model's ONNX ranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feature_repo.candidates import Candidates
from feature_repo.columns import Rows
from recommend.model import Parts
from recommend.query import Query
from recommend.stage import Ranker, Scores, StageError


@dataclass(frozen=True, kw_only=True)
class Onnx(Ranker):
    """Computes the inputs of each candidate and runs the ONNX ranker that the model has for the surface. The bundle's
    objective weighs its heads where the surface has none. Fails where the model has no ranker."""

    name: str = "model"

    def heads(self, parts: Parts) -> tuple[str, ...]:
        return () if parts.ranker is None else parts.ranker.heads

    def wanted_pairs(self, query: Query, rows: Rows) -> dict[str, list[str]]:
        ranker = query.parts.ranker
        if ranker is None or not ranker.pairs:
            return {}
        candidates = Candidates(query.ranking, rows)
        return {value.entity.view: candidates.names(value.second) for value in ranker.pairs}

    def score(self, query: Query, rows: Rows) -> Scores:
        ranker = query.parts.ranker
        if ranker is None:
            raise StageError("the bundle has no ranker for this surface" if query.model else "there is no model")
        features = ranker.inputs(Candidates(query.ranking, rows))
        return Scores(ranker.run(features), ranker.heads, query.parts.objective, features, ranker.names)

    def score_each(self, queries: Sequence[Query], rows: Rows) -> Sequence[Scores]:
        """All in one run of the model; what is read of the items alone is read once."""
        parts = queries[0].parts
        if parts.ranker is None:
            return super().score_each(queries, rows)
        ranker, candidates = parts.ranker, Candidates(queries[0].ranking, rows)
        features = np.concatenate([ranker.inputs(candidates.for_person(query.ranking)) for query in queries])
        values, n = ranker.run(features), len(rows)
        return [
            Scores(values[k : k + n], ranker.heads, parts.objective, features[k : k + n], ranker.names)
            for k in range(0, n * len(queries), max(n, 1))
        ]
