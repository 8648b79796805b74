"""Items similar to each of the person's last positive interactions."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import NONE, Retriever

SIMILAR, RECENTS = 20, 5
"""candidates wanted of each of so many recent items; training shows the ranker as many"""


@dataclass(frozen=True, kw_only=True)
class Similar(Retriever):
    """Searches the model's space for the last `recents` items, and takes their neighbours in turn: the nearest of each,
    then the second of each."""

    name: str = "similar"
    quota: int = SIMILAR
    recents: int = RECENTS

    def applies(self, query: Query) -> bool:
        return query.parts.space is not None

    def find(self, query: Query) -> Rows:
        if not len(query.anchors.rows):
            return NONE
        # an item is its own nearest neighbour
        return query.nearest(query.anchor_vectors[: self.recents], self.quota + 1).T.ravel()
