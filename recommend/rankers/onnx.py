"""The ranker of the model in force."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from feature_repo.ranking import matrix, names
from recommend.query import Query
from recommend.stage import Ranker, Scores, StageError


@dataclass(frozen=True, kw_only=True)
class Onnx(Ranker):
    """Computes the model's inputs of each candidate and runs its ONNX ranker. Fails where there is no model."""

    name: str = "model"

    def score(self, query: Query, rows: Rows) -> Scores:
        model = query.model
        if model is None:
            raise StageError("there is no model")
        features = matrix(query.ranking, rows, model.crosses)
        return Scores(model.ranker.score(features)[:, None], features, names(model.crosses))
