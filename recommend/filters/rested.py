"""Removes items that rest, as they were shown and not taken."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.among import among
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class Rested(Filter):
    """In force on surfaces whose rotation removes. Never relaxed; fails closed: what was sent is not sent again."""

    name: str = "rotation"
    fails_open: bool = False
    relaxable: bool = False

    def applies(self, query: Query) -> bool:
        return query.rotation is not None and query.rotation.removes

    def keep(self, query: Query, rows: Rows) -> Mask:
        return ~among(query.columns.hashes.take(rows), query.resting)
