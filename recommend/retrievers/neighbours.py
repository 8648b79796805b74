"""Items like one item: its neighbours in the model's space, and what is bought with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.tradeoff import considered
from recommend.stage import Retriever, StageError

WITH_ITEM = 50
"""candidates wanted of what is bought with an item"""


@dataclass(frozen=True, kw_only=True)
class Neighbours(Retriever):
    """Searches the model's space for the query's item. Fails where it has no vector of the item."""

    name: str = "neighbours"
    quota: int = 1
    """neighbours beyond the list: the item is its own nearest"""

    def find(self, query: Query) -> Rows:
        item = np.array([query.item])
        if not query.has_vector(item)[0]:
            raise StageError("no model has a vector of the item")
        k = query.length + self.quota
        wanted = max(k, considered(query.n) + self.quota) if query.diversity else k
        return query.nearest(query.vectors(item), wanted, least=k)[0]  # nothing else fills the list up


@dataclass(frozen=True, kw_only=True)
class BoughtWithItem(Retriever):
    """What is most often bought together with the query's item; nothing where nothing was yet."""

    name: str = "together"
    quota: int = WITH_ITEM

    def find(self, query: Query) -> Rows:
        found = query.columns.partners.of([query.item]).partners[: self.quota]
        allowed = query.allowed
        return found[(found < len(allowed)) & allowed.take(found, mode="clip")]
