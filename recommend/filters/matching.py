"""Removes items that do not pass the request's filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Filter, Mask


@dataclass(frozen=True, kw_only=True)
class Matching(Filter):
    """In force on every surface. Retrievers that search for allowed items alone leave it nothing to remove. Never
    relaxed; fails closed."""

    name: str = "filter"
    fails_open: bool = False
    relaxable: bool = False

    def applies(self, query: Query) -> bool:
        return query.filter is not None

    def keep(self, query: Query, rows: Rows) -> Mask:
        passing = query.passing
        if passing is None or not len(passing):
            return np.zeros(len(rows), bool)
        return passing.take(rows, mode="clip") & (rows < len(passing))
