"""Filters: each says which candidates may stay. Then the feed is filled up, so that it is never empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.query import Query, Source

Mask = npt.NDArray[np.bool_]
RANKED = 500
"""candidates that go on to the ranker at most"""


class Filter(NamedTuple):
    """`strict` filters are never relaxed."""

    name: str
    keep: Callable[[Query, Rows], Mask]
    strict: bool = False


def available(query: Query, rows: Rows) -> Mask:
    """Items that can be had."""
    return query.columns.available[rows]


def not_disliked(query: Query, rows: Rows) -> Mask:
    """Items that the person has not turned down lately."""
    return ~among(rows, query.disliked)


def unseen(query: Query, rows: Rows) -> Mask:
    """Items that the person has not met."""
    return ~among(query.columns.hashes[rows], query.seen)


def among(values: npt.NDArray[Any], known: npt.NDArray[Any]) -> Mask:
    """Which values are among the known ones, which ascend: `np.isin` would sort both together for each filter."""
    if not len(known):
        return np.zeros(len(values), bool)
    return known.take(np.searchsorted(known, values), mode="clip") == values


FILTERS = (
    Filter("unavailable", available, strict=True),
    Filter("disliked", not_disliked),
    Filter("seen", unseen),
)


def apply(query: Query) -> None:
    """Filters the candidates, fills up from what is popular where fewer than n are left, and keeps the
    first RANKED. Where nothing at all is left, the filters are relaxed from the last."""
    for name, keep, _ in FILTERS:
        kept = keep(query, query.rows)
        if not kept.all():
            query.removed[name] = int(len(kept) - np.count_nonzero(kept))
            query.keep(kept)
    if len(query.rows) < query.request.n:
        _fill(query)
    if len(query.rows) > RANKED:
        query.keep(np.arange(RANKED))


def _fill(query: Query) -> None:
    everything = query.popular.all()
    more = everything[np.isin(everything, query.rows, invert=True)]
    relaxed = list(FILTERS)
    while True:
        allowed = np.ones(len(more), bool)
        for _, keep, _ in relaxed:
            allowed &= keep(query, more)
        added = more[allowed][: query.request.n - len(query.rows)]
        query.rows = np.concatenate([query.rows, added])
        query.sources = np.concatenate([query.sources, np.full(len(added), Source.POPULAR, np.uint8)])
        if len(query.rows) or relaxed[-1].strict:
            return
        relaxed.pop()
