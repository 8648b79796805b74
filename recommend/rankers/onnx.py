"""Scores with the model's ONNX ranker."""

from __future__ import annotations

from dataclasses import dataclass

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
