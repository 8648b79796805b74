"""Single stages of a request, run and checked: a stage whose result cannot be has failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.candidate_set import CandidateSet
from recommend.objective import weighed
from recommend.query import Query
from recommend.results import of_length, within
from recommend.stage import NONE, Filter, Mask, Ranker, Reranker, Retriever, Scores, StageError
from recommend.trace import Trace

Values = npt.NDArray[np.float32]


def retrieved(retriever: Retriever, query: Query, trace: Trace, find: Callable[[Query], Rows] | None = None) -> Rows:
    """The rows of the retriever, or of its fallback where it fails; none where that fails as well. `find` is the method
    of the retriever that is called."""

    def work() -> Rows:
        rows = np.asarray((find or retriever.find)(query))
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
    return retrieved(retriever.fallback, query, trace)


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


def scored(
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


def reordered(each: Reranker, query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
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
