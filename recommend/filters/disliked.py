"""Removes items that the person has turned down lately."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.among import among
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class NotDisliked(Filter):
    """Fails open."""

    name: str = "disliked"

    def applies(self, query: Query) -> bool:
        return len(query.disliked) > 0

    def keep(self, query: Query, rows: Rows) -> Mask:
        return ~among(rows, query.disliked)
