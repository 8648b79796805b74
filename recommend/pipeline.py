"""The request, to be read aloud: encode, retrieve, filter, rank, re-rank, explain.

Nothing here does I/O but `query.pairs`, which is given with the query and reads the person's features of pairs. So the
same pipeline answers in the server and in a replay.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from feature_repo.columns import ItemColumns
from recommend import popular, steps
from recommend.candidate_set import CandidateSet, merge
from recommend.model import Model
from recommend.popular import Popular
from recommend.query import Query
from recommend.stage import Reason
from recommend.surface import Surface
from recommend.trace import STEPS, StageTrace, Trace

log = logging.getLogger(__name__)


class Detail(Struct, frozen=True):
    """How one item came into an answer."""

    sources: list[str]
    """the retrievers that found it"""
    features: dict[str, float]
    """what the ranker computed its scores from, where it said so"""
    scores: dict[str, float]
    """by head of the ranker, before the surface's objective weighs them"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Items in order, and how they came about."""

    query: Query
    candidates: CandidateSet
    """those that are shown, with their scores"""
    reasons: Sequence[Reason | None]
    trace: list[StageTrace]
    degraded: list[str]
    """steps of which a stage failed"""
    timings_ms: dict[str, float]
    """by step"""

    @property
    def item_ids(self) -> list[str]:
        """Item ids, best first."""
        ids = self.query.columns.ids
        return [ids[row] for row in self.candidates.rows.tolist()]

    @property
    def scores(self) -> list[float]:
        """What the items are ranked by; re-rankers may put a lower one first."""
        found = self.candidates.scores
        return [] if found is None else found.tolist()

    @property
    def features(self) -> npt.NDArray[np.float32] | None:
        """What the ranker saw of each item (n, inputs); None where it did not score them."""
        return self.candidates.features

    def detail(self, position: int) -> Detail:
        """How the item at `position` came into the answer."""
        shown = self.candidates
        return Detail(
            shown.sources_of(position),
            _named(shown.feature_names, shown.features, position),
            _named(shown.head_names, shown.heads, position),
        )


def _named(names: Sequence[str], values: npt.NDArray[np.float32] | None, position: int) -> dict[str, float]:
    if values is None:
        return {}
    return {name: round(value, 5) for name, value in zip(names, values[position].tolist(), strict=False)}


class Pipeline:
    """Answers from columns and a model over them (see recommend/catalogue.py)."""

    def __init__(
        self,
        columns: ItemColumns,
        model: Model | None,
        popular_age_s: float = popular.MAX_AGE_S,
        lists: Popular | None = None,
    ) -> None:
        """`popular_age_s`: for how long lists of what is popular are kept; 0 where columns change between calls.
        Pipelines over the same columns may share their `lists`."""
        self.columns = columns
        self.model = model
        self.popular = lists or Popular(columns, popular_age_s)
        self.query = functools.partial(Query, columns, model, self.popular)
        """a query of these: `at`, and the other fields of `Query` by name"""

    def candidates(self, surface: Surface, query: Query) -> CandidateSet:
        """What the surface's ranker is given."""
        trace = Trace()
        query.surface = surface.name
        query.encoded = steps.encode(surface, query, trace)
        return steps.filter(surface, query, steps.retrieve(surface, query, trace), trace)

    def recommend(self, surface: Surface, query: Query) -> Answer:
        """The surface's answer. Never raises; never empty while an item is available, with a fallback."""
        trace = Trace()
        reasons: Sequence[Reason | None] = []
        step, started = STEPS[0], time.perf_counter()
        try:
            query.surface = surface.name
            query.encoded = steps.encode(surface, query, trace)
            step, started = trace.step(step, "retrieve", started)
            found = steps.retrieve(surface, query, trace)
            step, started = trace.step(step, "filter", started)
            found = steps.filter(surface, query, found, trace)
            step, started = trace.step(step, "rank", started)
            found = steps.rank(surface, query, found, trace)
            step, started = trace.step(step, "rerank", started)
            found = steps.rerank(surface, query, found, trace)
            step, started = trace.step(step, "explain", started)
            reasons = steps.explain(surface, query, found, trace)
            trace.step(step, "", started)
        except Exception:
            # Stages and their fallbacks are guarded one by one, so that this is a fault of the pipeline itself.
            log.exception("%s: %s failed", surface.name, step)
            trace.failed(step)
            found = _last_resort(query) if surface.fallback else merge([], ())
            reasons = []
        return Answer(query, found, reasons or [None] * len(found), trace.stages, trace.degraded, trace.timings_ms)


def _last_resort(query: Query) -> CandidateSet:
    found = merge([np.flatnonzero(query.columns.available)[: query.n]], (steps.FILL,))
    found.scores = np.zeros(len(found), np.float32)
    return found
