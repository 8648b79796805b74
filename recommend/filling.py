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
from recommend.stage import Filter, Reranker, Retriever
from recommend.surface import Surface
from recommend.trace import Trace

FILL = "fill"
"""the source of candidates that make up for too few"""


def wanted(surface: Surface, query: Query) -> int:
    """How many candidates are enough: the whole list, since any of them may be the first. Where those that fill it up
    are behind all others in any case, the page and one more, which says that there is a next page; that one fills up
    for itself, by what is popular then."""
    if not surface.ranker.fills_behind:
        return query.length
    controls = query.controls
    moved = (
        surface.price_level or surface.exploration or query.objective is not None or query.rotation is not None
        or query.has_rules or controls.steers or controls.explores
        or any(_may_move(each, query) for each in surface.rerankers)
    )  # fmt: skip
    return query.length if moved else min(query.n + 1, query.length)


def _may_move(reranker: Reranker, query: Query) -> bool:
    """Whether the re-ranker may move candidates. One that raises fails where it is run, which is where the trace has
    it."""
    try:
        return reranker.applies(query)
    except Exception:
        return True


def is_short(query: Query, found: Rows, n: int, enough: int) -> bool:
    """Whether the n that are left of the rows found are too few for the answer, or fewer than `enough` while there are
    allowed rows that were not found."""
    if n < query.n:
        return True
    return n < enough and int(np.count_nonzero(query.allowed.take(found, mode="clip"))) < query.n_allowed


def filled(
    surface: Surface,
    fallback: Retriever,
    query: Query,
    candidates: CandidateSet,
    trace: Trace,
    broken: set[str],
    enough: int,
) -> CandidateSet:
    """The candidates and, after them, those of the fallback that pass the filters, until they are `enough`: of its best
    ones where it has such and they do, else of all. Where none remain, filters that may be relaxed are dropped, the
    last one first."""
    filters, has_all = list(filters_of(surface, query)), False

    def find(query: Query) -> Rows:
        nonlocal has_all
        best = fallback.best(query)
        has_all = best is None
        return fallback.find(query) if best is None else best

    more = retrieved(fallback, query, trace, find)
    if not has_all:
        if trace.stages[-1].failed is not None:
            trace.stages[-1].fell_back = "every item that it finds"
        kept = _passing(filters, query, more, candidates, trace, broken, enough)
        if len(candidates) + len(kept) >= enough:
            return candidates.then(kept)
        more = retrieved(fallback, query, trace)
    if trace.stages[-1].failed is not None:
        trace.stages[-1].fell_back = "available items in the order of the catalogue"
        more = np.flatnonzero(query.allowed)
    relaxes = query.listed is None or query.listed.relaxed > 0  # an earlier page that was not empty ends the list
    while True:
        kept = _passing(filters, query, more, candidates, trace, broken, enough)
        if len(kept) or len(candidates) or not (relaxes and filters and filters[-1].relaxable):
            break
        filters.pop()
        trace.relaxed += 1
    return candidates.then(kept)


def _passing(
    filters: Sequence[Filter],
    query: Query,
    more: Rows,
    candidates: CandidateSet,
    trace: Trace,
    broken: set[str],
    enough: int,
) -> CandidateSet:
    """Of the rows `more` those that are no candidates yet and pass the filters, the first ones that make `enough`. They
    are taken bit by bit, since `more` may be the whole catalogue."""
    bit, missing = np.uint32(1 << candidates.names.index(FILL)), enough - len(candidates)
    known, before = np.sort(candidates.rows), len(broken)
    found, aside, taken, size = candidates.first(0), trace.aside(), 0, missing + query.n
    while taken < len(more) and len(found) < missing:
        rows = more[taken : taken + size]
        rows = rows[~among(rows, known)]
        kept = CandidateSet(rows, np.full(len(rows), bit), candidates.names)
        for each in filters:
            if each.name not in broken:  # its rows meet what a broken filter would have asked of them
                passed = filtered(each, query, kept, aside, broken)
                kept = kept if each.name in broken else passed
        found = found.then(kept)
        taken, size = taken + size, 2 * size
    if len(broken) > before:  # in the order of the filters, whichever bit each has failed on
        places = {each.name: place for place, each in enumerate(filters)}
        trace.include(sorted(aside.stages, key=lambda record: places[record.stage]))
    return found.first(missing)
