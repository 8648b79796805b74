"""Removes items of categories and brands that the person has refused."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class NotRefused(Filter):
    """In force on every surface. Retrievers that search for allowed items alone leave it nothing to remove. Never
    relaxed; fails closed."""

    name: str = "refused"
    fails_open: bool = False
    relaxable: bool = False

    def applies(self, query: Query) -> bool:
        return query.controls.refuses

    def keep(self, query: Query, rows: Rows) -> Mask:
        return ~query.controls.refused(rows)
