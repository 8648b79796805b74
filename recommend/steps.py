"""The steps of a request: each runs the stages of its kind, and the fallbacks of those that fail.

Failures of a fallback are handled like those of its stage: a step always has a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from operators.contract import Vector
from recommend.among import among
from recommend.candidate_set import CandidateSet, merge
from recommend.explore import EXPLORING
from recommend.filters.everywhere import filters_of as filters_of  # re-exported
from recommend.objective import weighed, weights_of
from recommend.price_level import priced
from recommend.query import Query
from recommend.results import of_length, within
from recommend.rules.stages import ADDED, arranged, with_pinned
from recommend.stage import NONE, Filter, Mask, Ranker, Reason, Reranker, Retriever, Scores, Stage, StageError
from recommend.steer import steered
from recommend.surface import Surface
from recommend.trace import Trace

Values = npt.NDArray[np.float32]
FILL = "fill"
"""the source of candidates that make up for too few"""
CATALOGUE_FILTER = Stage(name="catalogue_filter", budget_ms=20.0)
"""the query's filter over all items, which most requests find computed already"""


def encode(surface: Surface, query: Query, trace: Trace) -> Vector | None:
    """The person's vector by the surface's encoder. None where it fails or there is none: the user vector is used."""
    encoder = surface.encoder
    if encoder is None:
        return None

    def work() -> Vector | None:
        return encoder.encode(query)

    vector, record = trace.run("encode", encoder, query, work)
    if record and record.failed is not None:
        record.fell_back = "the user vector"
    return vector


def match(query: Query, trace: Trace) -> Mask | None:
    """Which rows (n,) pass the query's filter, computed before any is looked for; None without a filter. Where it
    fails, none passes."""
    chosen = query.filter
    if chosen is None:
        return None
    available = query.columns.available

    def work() -> Mask:
        return chosen.mask(query.request_values)

    passing, record = trace.run("filter", CATALOGUE_FILTER, query, work, int(np.count_nonzero(available)))
    assert record
    if passing is None:
        record.fell_back = "closed: none passes"
        passing = np.zeros(0, bool)
    n = min(len(available), len(passing))
    record.candidates_out = int(np.count_nonzero(available[:n] & passing[:n]))
    record.removed = max(record.candidates_in - record.candidates_out, 0)
    return passing


def retrieve(surface: Surface, query: Query, trace: Trace) -> CandidateSet:
    """The candidates of every source."""
    found = [_found(retriever, query, trace) for retriever in surface.retrievers]
    if query.rules.rules:
        found += NONE, _found(ADDED, query, trace)
    return merge(found, sources_of(surface))


def sources_of(surface: Surface) -> tuple[str, ...]:
    """The names of the surface's sources, one for each bit of a candidate's `sources`; rules are the last one."""
    return (*(retriever.name for retriever in surface.retrievers), FILL, ADDED.name)


def filter(surface: Surface, query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
    """The candidates that pass every filter, at most `surface.ranked`. Where they are fewer than the list is long, they
    are filled up from the surface's fallback, unless the query asks for a least score."""
    broken: set[str] = set()
    found = candidates.rows
    for each in filters_of(surface, query):
        candidates = filtered(each, query, candidates, trace, broken)
    if surface.fallback and query.min_score is None and _is_short(query, found, len(candidates)):
        candidates = _filled(surface, surface.fallback, query, candidates, trace, broken)
    if query.rules.rules:
        candidates = with_pinned(filters_of(surface, query), query, candidates, trace)
    return candidates.first(surface.ranked)


def rank(surface: Surface, query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
    """The same candidates with scores, best first. Where ranker and fallbacks fail, the order of retrieval stands."""
    ranker: Ranker | None = surface.ranker
    objective, left_out = weights_of(surface, query)
    scores, values = None, None
    while ranker and values is None and len(candidates):
        scores, values = _scored(ranker, objective, query, candidates.rows, trace)
        if left_out and values is not None and ranker is surface.ranker:
            trace.stages[-1].fell_back = left_out
        ranker, objective = ranker.fallback, None  # which is of the surface's own ranker
    if scores is None or values is None:
        values = (1.0 / (1.0 + np.arange(len(candidates)))).astype(np.float32)
        scores = Scores(values[:, None], ())
    values = priced(surface, query, candidates.rows, values, trace)
    values = steered(query, candidates.rows, values, trace)
    candidates.scores, candidates.heads, candidates.features = values, scores.values, scores.features
    candidates.head_names, candidates.feature_names = scores.heads, scores.names
    return candidates.take(np.argsort(-values, kind="stable"))


def rerank(
    surface: Surface, query: Query, candidates: CandidateSet, trace: Trace, after: CandidateSet | None = None
) -> CandidateSet:
    """The first n of the candidates, in the order of the re-rankers; those of `after` follow them as they are. Rules
    have the last word on all."""
    ranked = candidates
    for each in (*surface.rerankers, EXPLORING):
        candidates = _reordered(each, query, candidates, trace)
    if after is not None:
        candidates, ranked = candidates.then(after), ranked.then(after)
    if query.has_rules and not surface.reports:
        candidates = arranged(query, candidates, ranked, trace)
    return candidates.first(query.n)


def explain(surface: Surface, query: Query, candidates: CandidateSet, trace: Trace) -> Sequence[Reason | None]:
    """A reason for each candidate, None where there is none."""
    nothing: list[Reason | None] = [None] * len(candidates)
    explainer = surface.explainer
    if explainer is None or query.explain == "none":
        return nothing

    def work() -> Sequence[Reason | None]:
        return of_length(explainer.explain(query, candidates), len(candidates))

    reasons, record = trace.run("explain", explainer, query, work, len(candidates))
    if record:
        record.candidates_out = len(candidates)
    return nothing if reasons is None else reasons


# -- single stages, their results checked -----------------------------------------------------------


def _found(retriever: Retriever, query: Query, trace: Trace) -> Rows:
    """The rows of the retriever, or of its fallback where it fails; none where that fails as well."""

    def work() -> Rows:
        rows = np.asarray(retriever.find(query))
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise StageError("what it found are not rows")
        if len(rows) and not within(rows, query.columns.n):
            raise StageError("it found rows that there are not")
        return rows

    rows, record = trace.run("retrieve", retriever, query, work)
    if record is None:
        return NONE
    if rows is not None:
        record.candidates_out = len(rows)
        return rows
    if retriever.fallback is None:
        return NONE
    record.fell_back = retriever.fallback.name
    return _found(retriever.fallback, query, trace)


def filtered(each: Filter, query: Query, candidates: CandidateSet, trace: Trace, broken: set[str]) -> CandidateSet:
    """The candidates that pass the filter, all or none where it fails; `broken` then names it."""
    rows = candidates.rows

    def work() -> Mask:
        mask = of_length(np.asarray(each.keep(query, rows)), len(rows))
        if mask.dtype != np.bool_:
            raise StageError("what it keeps is not a mask")
        return mask

    mask, record = trace.run("filter", each, query, work, len(rows))
    if record is None:
        return candidates
    if mask is None:
        broken.add(each.name)
        record.fell_back = "open: all stay" if each.fails_open else "closed: none stays"
        mask = np.full(len(rows), each.fails_open)
    record.candidates_out = int(np.count_nonzero(mask))
    record.removed = len(rows) - record.candidates_out
    return candidates.take(mask) if record.removed else candidates


def _is_short(query: Query, found: Rows, n: int) -> bool:
    """Whether the n that are left of the rows found are too few for the answer, or for the list while there are allowed
    rows that were not found."""
    if n < query.n:
        return True
    return n < query.length and int(np.count_nonzero(query.allowed.take(found, mode="clip"))) < query.n_allowed


def _filled(
    surface: Surface, fallback: Retriever, query: Query, candidates: CandidateSet, trace: Trace, broken: set[str]
) -> CandidateSet:
    """The candidates and, after them, enough of the fallback's that pass the filters. Where none remain,
    filters that may be relaxed are dropped, the last one first."""
    more = _found(fallback, query, trace)
    if trace.stages[-1].failed is not None:
        trace.stages[-1].fell_back = "available items in the order of the catalogue"
        more = np.flatnonzero(query.allowed)
    filters = list(filters_of(surface, query))
    relaxes = query.listed is None or query.listed.relaxed > 0  # an earlier page that was not empty ends the list
    while True:
        kept = _passing(filters, query, more, candidates, trace, broken)
        if len(kept) or len(candidates) or not (relaxes and filters and filters[-1].relaxable):
            break
        filters.pop()
        trace.relaxed += 1
    return candidates.then(kept.first(query.length - len(candidates)))


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
    return found


def _scored(
    ranker: Ranker, objective: Mapping[str, float] | None, query: Query, rows: Rows, trace: Trace
) -> tuple[Scores | None, Values | None]:
    """The ranker's result and the scores (n,) to rank by; None where it fails or does not apply."""

    def work() -> tuple[Scores, Values]:
        found = ranker.score(query, rows)
        if found.values.shape != (len(rows), len(found.heads)):
            raise StageError("the scores are not one number a candidate and head")
        if found.features is not None and len(found.features) != len(rows):
            raise StageError("the features are not those of the candidates")
        values = weighed(found, found.weights if objective is None else objective)
        if not np.isfinite(values).all():
            raise StageError("the scores are not finite")
        return found, values

    result, record = trace.run("rank", ranker, query, work, len(rows))
    if result is None:
        if record:
            record.fell_back = ranker.fallback.name if ranker.fallback else "the order of retrieval"
        return None, None
    assert record
    record.candidates_out = len(rows)
    return result


def _reordered(each: Reranker, query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
    """The candidates in the re-ranker's order, as they were where it fails. Those that it does not name follow where n
    are not reached without them."""
    n = len(candidates)

    def work() -> Rows:
        order = np.asarray(each.order(query, candidates), np.int64)
        if order.ndim != 1 or (len(order) and not (within(order, n) and np.bincount(order).max() == 1)):
            raise StageError("the order is not one of the candidates, each once")
        return order

    order, record = trace.run("rerank", each, query, work, n)
    if record is None:
        return candidates
    shown = record.candidates_out = min(query.n, n)
    if order is None:
        record.fell_back = "the order as it was"
        return candidates
    if len(order) < shown:
        order = np.concatenate([order, np.setdiff1d(np.arange(n), order)])
    record.moved = int(np.count_nonzero(order[:shown] != np.arange(shown)))
    return candidates.take(order)
