"""Items nearest to one item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Retriever, StageError


@dataclass(frozen=True, kw_only=True)
class Neighbours(Retriever):
    """Searches the model's index for the query's item, until `query.n` others that are available are found. Fails where
    the model has no vector of the item."""

    name: str = "neighbours"
    quota: int = 50
    """neighbours beyond 2 n that are asked for at first"""

    def find(self, query: Query) -> Rows:
        item = np.array([query.item])
        if query.model is None or not query.has_vector(item)[0]:
            raise StageError("no model has a vector of the item")
        k = 2 * query.n + self.quota
        return query.nearest(query.vectors(item), k, wanted=query.n + 1)[0]
