"""Removes items that the person has met."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.among import among
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class Unseen(Filter):
    """Fails open."""

    name: str = "seen"

    def applies(self, query: Query) -> bool:
        return len(query.seen) > 0

    def keep(self, query: Query, rows: Rows) -> Mask:
        return ~among(query.columns.hashes.take(rows), query.seen)
