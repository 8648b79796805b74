"""Candidates that rules ask for: without them, only what the retrievers find could be promoted, sponsored or pinned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.filters.known import among
from recommend.query import NO_ROWS, Query
from recommend.stage import Retriever
from schemas.rules import Pin, Promote, Sponsor

EACH = 20
"""items of one rule at most"""
RULES = 8
"""rules, of the highest priority, that add items to one answer"""


@dataclass(frozen=True, kw_only=True)
class Ruled(Retriever):
    """The most popular items that rules promote to the top or to a share, or sponsor, and that the person has not met.
    They pass the same filters as those of other retrievers."""

    name: str = "rules"
    quota: int = EACH * RULES

    def applies(self, query: Query) -> bool:
        return bool(query.rules.rules) and query.ruling.arranges

    def find(self, query: Query) -> Rows:
        ruling = query.ruling
        if ruling.matches is None:
            return NO_ROWS
        wanted = [
            each.test
            for each in (*ruling.slots, *ruling.shares, *ruling.moves)
            if each.test is not None
            and (
                isinstance(each.rule, Sponsor)
                or (isinstance(each.rule, Promote) and each.rule.places is None)
            )
        ]  # fmt: skip
        found = []
        for test in list(dict.fromkeys(wanted))[:RULES]:
            rows = ruling.matches.best(test, query.at)
            rows = _fitting(query, rows)
            found.append(rows[~among(query.columns.hashes.take(rows), query.seen)][: min(EACH, query.n)])
        return np.array(list(dict.fromkeys(np.concatenate(found).tolist())), np.int64) if found else NO_ROWS


def pinned(query: Query) -> Rows:
    """Rows of the items that rules pin, and that are available and pass the request's filter; whether the person has
    met them does not count."""
    if not query.rules.rules:
        return NO_ROWS
    ids = [each.rule.item_id for each in query.ruling.slots if isinstance(each.rule, Pin)]
    return _fitting(query, query.columns.rows(list(dict.fromkeys(ids))))


def _fitting(query: Query, rows: Rows) -> Rows:
    """Those of the rows that the request allows, and that are of the category that it asks for."""
    rows = rows[rows < len(query.allowed)]
    rows = rows[query.allowed.take(rows)]
    if query.category:
        code = query.columns.category_codes.get(query.category)
        rows = rows[(query.columns.categories.take(rows, axis=0) == code).any(axis=1)] if code else NO_ROWS
    return rows
