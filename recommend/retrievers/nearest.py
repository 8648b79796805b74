"""Items nearest to the user vector."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.retrievers.allowance import allowance
from recommend.stage import NONE, Retriever, StageError

NEAREST = 200
"""candidates wanted; training shows the ranker as many"""


@dataclass(frozen=True, kw_only=True)
class Nearest(Retriever):
    """Searches the model's index for the user vector. Fails where there is no model."""

    name: str = "nearest"
    quota: int = NEAREST

    def find(self, query: Query) -> Rows:
        if query.model is None:
            raise StageError("there is no model")
        vector = query.ranking.vector
        if vector is None:  # nothing is known of the person yet, or in another model's space alone
            return NONE
        return query.nearest(vector[None], self.quota + allowance(query), wanted=self.quota)[0]
