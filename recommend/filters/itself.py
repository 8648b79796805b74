"""Removes the item that others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class NotItself(Filter):
    """Never relaxed; fails open."""

    name: str = "itself"
    relaxable: bool = False

    def keep(self, query: Query, rows: Rows) -> Mask:
        return rows != query.item
