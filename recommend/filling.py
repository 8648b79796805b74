"""Answers and lists that are too short are filled up from the surface's fallback."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feature_repo.columns import Rows
from recommend.among import among
from recommend.candidate_set import CandidateSet
from recommend.checked import filtered, retrieved
from recommend.filters.everywhere import filters_of
from recommend.query import Query
from recommend.stage import Filter, Retriever
from recommend.surface import Surface
from recommend.trace import Trace

FILL = "fill"
"""the source of candidates that make up for too few"""


def is_short(query: Query, found: Rows, n: int) -> bool:
    """Whether the n that are left of the rows found are too few for the answer, or for the list while there are allowed
    rows that were not found."""
    if n < query.n:
        return True
    return n < query.length and int(np.count_nonzero(query.allowed.take(found, mode="clip"))) < query.n_allowed


def filled(
    surface: Surface, fallback: Retriever, query: Query, candidates: CandidateSet, trace: Trace, broken: set[str]
) -> CandidateSet:
    """The candidates and, after them, enough of the fallback's that pass the filters: of its best ones where they do,
    else of all. Where none remain, filters that may be relaxed are dropped, the last one first."""
    filters = list(filters_of(surface, query))
    more = retrieved(fallback, query, trace, fallback.best)
    kept = _passing(filters, query, more, candidates, trace, broken)
    if len(candidates) + len(kept) >= query.length:
        return candidates.then(kept)
    more = retrieved(fallback, query, trace)
    if trace.stages[-1].failed is not None:
        trace.stages[-1].fell_back = "available items in the order of the catalogue"
        more = np.flatnonzero(query.allowed)
    relaxes = query.listed is None or query.listed.relaxed > 0  # an earlier page that was not empty ends the list
    while True:
        kept = _passing(filters, query, more, candidates, trace, broken)
        if len(kept) or len(candidates) or not (relaxes and filters and filters[-1].relaxable):
            break
        filters.pop()
        trace.relaxed += 1
    return candidates.then(kept)


def _passing(
    filters: Sequence[Filter], query: Query, more: Rows, candidates: CandidateSet, trace: Trace, broken: set[str]
) -> CandidateSet:
    """Of the rows `more` those that are no candidates yet and pass the filters, the first ones that make the list full.
    They are taken bit by bit, since `more` may be the whole catalogue."""
    bit, wanted = np.uint32(1 << candidates.names.index(FILL)), query.length - len(candidates)
    known = np.sort(candidates.rows)
    found, aside, taken, size = candidates.first(0), Trace(), 0, wanted + query.n
    while taken < len(more) and len(found) < wanted:
        rows = more[taken : taken + size]
        rows = rows[~among(rows, known)]
        kept = CandidateSet(rows, np.full(len(rows), bit), candidates.names)
        for each in filters:
            if each.name not in broken:  # its rows meet what a broken filter would have asked of them
                passed = filtered(each, query, kept, aside, broken)
                kept = kept if each.name in broken else passed
        found = found.then(kept)
        taken, size = taken + size, 2 * size
    trace.include(aside.stages)
    return found.first(wanted)
