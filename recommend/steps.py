"""The steps of a request: each runs the stages of its kind, and the fallbacks of those that fail.

Failures of a fallback are handled like those of its stage: a step always has a result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from operators.contract import Vector
from recommend.candidate_set import CandidateSet, merge
from recommend.checked import filtered, reordered, retrieved, scored
from recommend.explore import EXPLORING
from recommend.filling import FILL, filled, is_short, wanted
from recommend.filters.everywhere import filters_of
from recommend.objective import weights_of
from recommend.price_level import priced
from recommend.query import Query
from recommend.results import of_length
from recommend.rotating import rotated
from recommend.rules.stages import ADDED, arranged, with_pinned
from recommend.stage import NONE, Mask, Ranker, Reason, Scores, Stage
from recommend.steer import steered
from recommend.surface import Surface
from recommend.trace import Trace

Values = npt.NDArray[np.float32]
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
    found = [retrieved(retriever, query, trace) for retriever in surface.retrievers]
    if query.rules.rules:
        found += NONE, retrieved(ADDED, query, trace)
    return merge(found, sources_of(surface))


def sources_of(surface: Surface) -> tuple[str, ...]:
    """The names of the surface's sources, one for each bit of a candidate's `sources`; rules are the last one."""
    return (*(retriever.name for retriever in surface.retrievers), FILL, ADDED.name)


def filter(surface: Surface, query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
    """The candidates that pass every filter, at most `surface.ranked`. Where they are fewer than the answer needs,
    they are filled up from the surface's fallback, unless the query asks for a least score."""
    broken: set[str] = set()
    found = candidates.rows
    for each in filters_of(surface, query):
        candidates = filtered(each, query, candidates, trace, broken)
    if surface.fallback and query.min_score is None:
        enough = wanted(surface, query)
        if is_short(query, found, len(candidates), enough):
            candidates = filled(surface, surface.fallback, query, candidates, trace, broken, enough)
    if query.rules.rules:
        candidates = with_pinned(filters_of(surface, query), query, candidates, trace)
    return candidates.first(surface.ranked)


def rank(surface: Surface, query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
    """The same candidates with scores, best first. Where ranker and fallbacks fail, the order of retrieval stands."""
    ranker: Ranker | None = surface.ranker
    objective, left_out = weights_of(surface, query)
    scores, values = None, None
    while ranker and values is None and len(candidates):
        scores, values = scored(ranker, objective, query, candidates.rows, trace)
        if left_out and values is not None and ranker is surface.ranker:
            trace.stages[-1].fell_back = left_out
        ranker, objective = ranker.fallback, None  # which is of the surface's own ranker
    if scores is None or values is None:
        values = (1.0 / (1.0 + np.arange(len(candidates)))).astype(np.float32)
        scores = Scores(values[:, None], ())
    values = priced(surface, query, candidates.rows, values, trace)
    values = steered(query, candidates.rows, values, trace)
    values = rotated(query, candidates.rows, values, trace)
    candidates.scores, candidates.heads, candidates.features = values, scores.values, scores.features
    candidates.head_names, candidates.feature_names = scores.heads, scores.names
    return candidates.take((-values).argsort(kind="stable"))


def rerank(
    surface: Surface, query: Query, candidates: CandidateSet, trace: Trace, after: CandidateSet | None = None
) -> CandidateSet:
    """The first n of the candidates, in the order of the re-rankers; those of `after` follow them as they are. Rules
    have the last word on all."""
    ranked = candidates
    for each in (*surface.rerankers, EXPLORING):
        candidates = reordered(each, query, candidates, trace)
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
