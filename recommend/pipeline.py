"""The request, to be read aloud: retrieve, filter, rank, re-rank, explain.

Nothing here does I/O: features come in with the request, so that the same pipeline answers in the server and
in a replay. Each stage declares what happens where it fails: the feed goes on with less, and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns
from feature_repo.inputs import matrix
from recommend import explain, filters, rerank, retrievers
from recommend.model import Model
from recommend.popular import Popular
from recommend.query import FeedRequest, Query, Reason, Source
from schemas.events import Item

log = logging.getLogger(__name__)

Action = Callable[[Query], None]


class Stage(NamedTuple):
    """A step and what to do instead where it fails. A stage that fails is named in `degraded`."""

    name: str
    run: Action
    otherwise: Action


class StageError(Exception):
    """A stage cannot do its work now, for a reason that is known."""


def retrieve(query: Query) -> None:
    """Candidates of every source. Without a model there are only popular ones, which is a failure to retrieve."""
    if query.model is None:
        raise StageError("there is no model")
    retrievers.merge([(r.source, r.find(query)) for r in retrievers.RETRIEVERS], query)


def popular_only(query: Query) -> None:
    """What is popular, there and everywhere."""
    sources = [r for r in retrievers.RETRIEVERS if r.source in Source.REGION | Source.POPULAR]
    retrievers.merge([(r.source, r.find(query)) for r in sources], query)


def available_only(query: Query) -> None:
    """Whatever can be had."""
    query.keep(filters.available(query, query.rows))
    query.keep(np.arange(min(len(query.rows), filters.RANKED)))


def rank(query: Query) -> None:
    """The model's score of each candidate."""
    if query.model is None:
        raise StageError("there is no model")
    if not len(query.rows):
        return
    inputs = matrix(query.ranking, query.rows, query.model.crosses)
    scores = query.model.ranker.score(inputs)
    if len(scores) != len(query.rows) or not np.isfinite(scores).all():
        raise StageError("the ranker's scores are not one finite number a candidate")
    query.scores, query.inputs = scores, inputs


def by_popularity(query: Query) -> None:
    """Popularity as the score; candidates of no popularity keep their order."""
    values = query.columns.popularity[query.rows]
    order = np.argsort(np.argsort(-values, kind="stable"), kind="stable")
    query.scores = (1.0 / (1.0 + order)).astype(np.float32)


def no_reasons(query: Query) -> None:
    """Silence, where reasons cannot be found."""
    query.reasons = []


STAGES = (
    Stage("retrieve", retrieve, popular_only),
    Stage("filter", filters.apply, available_only),
    Stage("rank", rank, by_popularity),
    Stage("rerank", rerank.rerank, rerank.by_score),
    Stage("explain", explain.explain, no_reasons),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a feed."""

    item_id: str
    score: float
    reason: Reason | None
    item: Item | None


@dataclass(frozen=True, slots=True)
class Feed:
    """The answer: entries in order, stages that fell back, milliseconds a stage; and what the ranker saw of each entry
    (entries, inputs), None where it did not score them."""

    entries: list[Entry]
    degraded: list[str]
    timings_ms: dict[str, float]
    inputs: npt.NDArray[np.float32] | None

    @property
    def item_ids(self) -> list[str]:
        """Item ids, best first."""
        return [entry.item_id for entry in self.entries]


class Pipeline:
    """Recommends from columns and a model whose rows they share (see recommend/catalogue.py)."""

    def __init__(
        self,
        columns: ItemColumns,
        model: Model | None,
        popular_age_s: float = 0.0,
        stages: Sequence[Stage] = STAGES,
    ) -> None:
        """`popular_age_s`: for how long lists of what is popular are kept; 0 where columns change between calls."""
        self.columns = columns
        self.model = model
        self.popular = Popular(columns, popular_age_s)
        self.stages = stages

    def recommend(self, request: FeedRequest) -> Feed:
        """The person's feed. Never raises for a stage that fails; never empty while any item is available."""
        query = Query(request, self.columns, self.model, self.popular)
        degraded: list[str] = []
        timings: dict[str, float] = {}
        for name, run, otherwise in self.stages:
            if name == "explain" and not request.explain:
                continue
            started = time.perf_counter()
            try:
                run(query)
            except Exception as error:
                # A feed with less in it is worth more to a person than an error page.
                log.warning("%s fell back: %s", name, error, exc_info=not isinstance(error, StageError))
                degraded.append(name)
                otherwise(query)
            timings[name] = round((time.perf_counter() - started) * 1000, 3)
        reasons: Sequence[Reason | None] = query.reasons or [None] * len(query.rows)
        ids, items = self.columns.ids, self.columns.items
        entries = [
            Entry(ids[row], score, reason, items[row])
            for row, score, reason in zip(query.rows.tolist(), query.scores.tolist(), reasons, strict=True)
        ]
        return Feed(entries, degraded, timings, query.inputs)
