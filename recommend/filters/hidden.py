"""Removes items that the person has hidden."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.among import among
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class NotHidden(Filter):
    """In force on every surface. Retrievers that search for allowed items alone leave it nothing to remove. Never
    relaxed; fails closed."""

    name: str = "hidden"
    fails_open: bool = False
    relaxable: bool = False

    def applies(self, query: Query) -> bool:
        return len(query.controls.hidden) > 0

    def keep(self, query: Query, rows: Rows) -> Mask:
        return ~among(rows, query.controls.hidden)
