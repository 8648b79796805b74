"""Removes items that the request excludes, and those that earlier pages had."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.among import among
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class Excluded(Filter):
    """In force on every surface. Never relaxed; fails closed."""

    name: str = "excluded"
    fails_open: bool = False
    relaxable: bool = False

    def applies(self, query: Query) -> bool:
        return len(query.excluded) > 0

    def keep(self, query: Query, rows: Rows) -> Mask:
        return ~among(rows, query.excluded)
