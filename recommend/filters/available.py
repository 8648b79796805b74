"""Removes items that are not available."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class Available(Filter):
    """Never relaxed; fails closed."""

    name: str = "unavailable"
    fails_open: bool = False
    relaxable: bool = False

    def keep(self, query: Query, rows: Rows) -> Mask:
        return query.columns.available.take(rows)
