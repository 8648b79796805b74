"""Items nearest to the person's vector."""

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
    """Searches the model's space for the encoder's vector of the person, or for the user vector where there is none.
    Fails where the model has no space for the surface."""

    name: str = "nearest"
    quota: int = NEAREST

    def find(self, query: Query) -> Rows:
        if query.parts.space is None:
            raise StageError("the bundle has no space for this surface" if query.model else "there is no model")
        vector = query.ranking.vector if query.encoded is None else query.encoded
        if vector is None:  # nothing is known of the person yet, or in another model's space alone
            return NONE
        return query.nearest(vector[None], self.quota + allowance(query))[0]
