"""Lists that several requests show one page after the other.

The first request puts the `depth` best candidates by score on a list, and shows n of them. Each later one takes what is
left of the list instead of retrieving: filters, ranking and re-ranking run as they do for a first page, over the person
and the items as they are by then. What is on the list was decided at the start, so that nothing on it is missed; which
page has it is decided as late as can be.

Where no more than n of the list are left, what is left is shown first, and a new list is made of other items.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from recommend import steps
from recommend.among import among
from recommend.candidate_set import CandidateSet
from recommend.checked import filtered
from recommend.filters.everywhere import filters_of
from recommend.query import Listed, Query
from recommend.rules.stages import ARRANGED
from recommend.slots import ExplorationSlots, explored
from recommend.stage import Reranker, Stage
from recommend.surface import Surface
from recommend.trace import Trace

MINIMUM = Stage(name="min_score")


def left(surface: Surface, query: Query, listed: Listed, trace: Trace) -> CandidateSet:
    """The candidates on the list that pass the surface's filters now and, where no more than n do, new ones behind
    them."""
    candidates = CandidateSet(listed.rows, listed.sources, steps.sources_of(surface))
    filters, broken, relaxed = list(filters_of(surface, query)), set[str](), 0
    while relaxed < listed.relaxed and filters and filters[-1].relaxable:
        filters.pop()
        relaxed += 1
    for each in filters:
        candidates = filtered(each, query, candidates, trace, broken)
    if len(candidates) > query.n:
        trace.relaxed = relaxed
        return candidates
    more = steps.filter(surface, query, steps.retrieve(surface, query, trace), trace)
    trace.relaxed = max(trace.relaxed, relaxed)
    return candidates.then(more.take(~among(more.rows, np.sort(listed.rows))))


def drop_low(query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
    """The candidates whose score is at least the query's least one."""
    least, scores = query.min_score, candidates.scores
    if least is None or scores is None:
        return candidates
    n = len(candidates)
    mask, record = trace.run("rank", MINIMUM, query, lambda: scores >= np.float32(least), n)
    assert mask is not None
    assert record
    record.candidates_out = int(np.count_nonzero(mask))
    record.removed = n - record.candidates_out
    return candidates.take(mask) if record.removed else candidates


def page(surface: Surface, query: Query, ranked: CandidateSet, trace: Trace) -> tuple[CandidateSet, CandidateSet]:
    """Of the candidates, best first, the n that are shown and those that stay on the list."""
    if not query.depth:
        shown = steps.rerank(surface, query, ranked, trace)
        return explored(
            surface.exploration, surface.name, query, shown, ranked, trace, surface.rerankers
        ), ranked.first(0)
    if query.listed is None:
        ranked = _on_list(surface, query, ranked, trace)
        shown = steps.rerank(surface, query, ranked, trace)
        held = ranked
    else:
        on_list = among(ranked.rows, np.sort(query.listed.rows))
        held, new = ranked.take(on_list), ranked.take(~on_list)
        # Where there are new ones, no more than n were left on the list.
        shown = steps.rerank(surface, query, held, trace, new if len(new) else None)
        if len(new):
            ranked = held.then(new).first(query.length)
    # What is explored comes from the list, so that the last page of it has all that is left.
    shown = explored(surface.exploration, surface.name, query, shown, held, trace, surface.rerankers)
    n = len(shown)
    if np.array_equal(shown.rows, ranked.rows[:n]):  # nothing has moved
        return shown, ranked.after(n)
    return shown, ranked.take(~among(ranked.rows, np.sort(shown.rows)))


def _on_list(surface: Surface, query: Query, ranked: CandidateSet, trace: Trace) -> CandidateSet:
    """The best candidates by score, the last of them replaced by those that re-rankers have reserved places for."""
    length, aside = query.length, trace.aside()
    if len(ranked) <= length:
        return ranked
    reserving: list[Reranker | ExplorationSlots] = [*surface.rerankers, ARRANGED]
    if surface.exploration:
        reserving.append(surface.exploration)
    asked = [aside.run("rerank", r, query, partial(r.reserved, query, ranked))[0] for r in reserving]
    for record in aside.stages:
        record.fell_back = "no place is reserved"
    trace.include(aside.stages)
    reserved = [each for each in asked if each is not None and len(each)]
    if not reserved:
        return ranked.first(length)
    below = np.concatenate(reserved)
    below = np.unique(below[below >= length])[:length]
    if not len(below):
        return ranked.first(length)
    return ranked.take(np.concatenate([np.arange(length - len(below)), below]))


def marks(surface: Surface, query: Query, candidates: CandidateSet, trace: Trace) -> dict[int, list[str]]:
    """Row → names of the filters that would have removed it, of those rows that there are any for."""
    found: dict[int, list[str]] = {}
    for each in filters_of(surface, query):
        kept = filtered(each, query, candidates, trace, set())
        if len(kept) < len(candidates):
            for row in np.setdiff1d(candidates.rows, kept.rows).tolist():
                found.setdefault(row, []).append(each.name)
    return found
