"""Candidate sources: each gives rows, best first, or none where it has nothing to go by."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query, Source

NEAREST, SIMILAR, RECENTS, POPULAR = 200, 20, 5, 200
"""candidates wanted of each source; the ranker is shown as many (`training/examples.py`)"""
ALLOWANCE = 400
"""at most this many more are asked for, as many as the person has met and the filters will take out"""

NOTHING = np.zeros(0, np.int64)


class Retriever(NamedTuple):
    """A source and the function that asks it."""

    source: Source
    find: Callable[[Query], Rows]


def nearest(query: Query) -> Rows:
    """Items nearest to the user vector."""
    vector = query.ranking.vector if query.encoded is None else query.encoded
    if query.model is None or vector is None:
        return NOTHING
    return query.nearest(vector[None], NEAREST + _allowance(query))[0]


def similar(query: Query) -> Rows:
    """Items similar to each of the last few that the person was drawn to, in turn."""
    if query.model is None:
        return NOTHING
    recent = query.anchors.rows[:RECENTS]
    if not len(recent):
        return NOTHING
    return query.nearest(query.vectors(recent), SIMILAR + 1).T.ravel()


def popular_in_region(query: Query) -> Rows:
    """What is popular where the person is."""
    return query.popular.within(query.request.region)[: POPULAR + _allowance(query)]


def popular(query: Query) -> Rows:
    """What is popular everywhere."""
    return query.popular.everywhere()[: POPULAR + _allowance(query)]


RETRIEVERS = (
    Retriever(Source.NEAREST, nearest),
    Retriever(Source.SIMILAR, similar),
    Retriever(Source.REGION, popular_in_region),
    Retriever(Source.POPULAR, popular),
)


def _allowance(query: Query) -> int:
    return min(len(query.seen), ALLOWANCE)


def merge(found: list[tuple[Source, Rows]], query: Query) -> None:
    """Sets the query's candidates: each row once, with every source that found it, ordered by its best
    position in any, so that a cut takes the best of all."""
    rows = np.concatenate([rows for _, rows in found]) if found else NOTHING
    if not len(rows):
        query.rows, query.sources = NOTHING, np.zeros(0, np.uint8)
        return
    positions = np.concatenate([np.arange(len(rows)) for _, rows in found])
    bits = np.repeat(np.array([source for source, _ in found], np.uint8), [len(rows) for _, rows in found])
    order = np.argsort(rows, kind="stable")
    grouped = rows[order]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    sources = np.bitwise_or.reduceat(bits[order], starts)
    best = np.argsort(np.minimum.reduceat(positions[order], starts), kind="stable")
    query.rows, query.sources = grouped[starts[best]], sources[best]
