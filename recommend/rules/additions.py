"""Candidates that rules ask for: without them, only what the retrievers find could be promoted, sponsored or pinned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Mask, Rows
from recommend.among import among
from recommend.query import NO_ROWS, Query
from recommend.rules.plan import ADDING, EACH, wanted
from recommend.stage import Retriever

NAME = "rules"
"""the source of candidates that rules ask for"""
LOOKED_AT = 100
"""of the most popular items of a rule, for those that the person has not met"""


@dataclass(frozen=True, kw_only=True)
class Ruled(Retriever):
    """The most popular items that rules promote to the top or to a share, or sponsor, and that the person has not met.
    They pass the same filters as those of other retrievers."""

    name: str = NAME
    quota: int = EACH * ADDING

    def applies(self, query: Query) -> bool:
        return query.has_rules and query.adds and query.ruling.plan.arranges

    def find(self, query: Query) -> Rows:
        ruling = query.ruling
        if ruling.matches is None or not ruling.plan.adding:
            return NO_ROWS
        needed: dict[int, int] = {}
        for test, rule in ruling.plan.adding:
            if len(needed) == ADDING:
                break
            if n := wanted(rule, query.n):
                needed[test] = max(needed.get(test, 0), n)
        if not needed:
            return NO_ROWS
        lists = [ruling.matches.best(test, query.at)[:LOOKED_AT] for test in needed]
        rows = np.concatenate(lists)
        fits = _fitting(query, rows)
        fits &= ~among(query.columns.hashes.take(rows), query.seen)
        found: dict[int, None] = {}
        start = 0
        for each, most in zip(lists, needed.values(), strict=True):
            found.update(dict.fromkeys(each[fits[start : start + len(each)]][:most].tolist()))
            start += len(each)
        return np.fromiter(found, np.int64, len(found))


def pinned(query: Query) -> Rows:
    """Rows of the items that rules pin, and that are available and pass the request's filter; whether the person has
    met them does not count."""
    if not (query.has_rules and query.adds and query.ruling.plan.pins):
        return NO_ROWS
    rows = query.columns.rows(query.ruling.plan.pins)
    return rows[_fitting(query, rows)]


def _fitting(query: Query, rows: Rows) -> Mask:
    """Which rows (n,) the request allows, and are of the category that it asks for."""
    found: Mask = query.allowed.take(rows, mode="clip") & (rows < len(query.allowed))
    if query.category:
        code = query.columns.category_codes.get(query.category, -1)
        found &= (query.columns.categories.take(rows, axis=0) == code).any(axis=1)
    return found
