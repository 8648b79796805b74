"""Items nearest to one item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.tradeoff import considered
from recommend.stage import Retriever, StageError


@dataclass(frozen=True, kw_only=True)
class Neighbours(Retriever):
    """Searches the model's space for the query's item. Fails where it has no vector of the item."""

    name: str = "neighbours"
    quota: int = 1
    """neighbours beyond n: the item is its own nearest. A surface whose re-ranker is to choose sets more; a query that
    asks for diversity gets as many as re-rankers consider"""

    def find(self, query: Query) -> Rows:
        item = np.array([query.item])
        if not query.has_vector(item)[0]:
            raise StageError("no model has a vector of the item")
        k = query.n + self.quota
        wanted = considered(query.n) + self.quota if query.diversity else k
        return query.nearest(query.vectors(item), wanted, least=k)[0]  # nothing else fills the list up
