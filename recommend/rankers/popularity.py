"""Scores by popularity, which needs no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo import views
from feature_repo.columns import Rows
from operators.decay import Popularity
from recommend.query import Query
from recommend.stage import Ranker, Scores

POPULARITY = next(a for a in views.item.aggregations if isinstance(a, Popularity))


@dataclass(frozen=True, kw_only=True)
class ByPopularity(Ranker):
    """1 for the most popular candidate, 1/2 for the second …; candidates of no popularity keep their order."""

    name: str = "by_popularity"

    def score(self, query: Query, rows: Rows) -> Scores:
        order = np.empty(len(rows), np.int64)
        order[np.argsort(-query.columns.popularity[rows], kind="stable")] = np.arange(len(rows))
        return Scores((1.0 / (1.0 + order)).astype(np.float32)[:, None])


@dataclass(frozen=True, kw_only=True)
class EventsNow(Ranker):
    """How many events each candidate has now, decayed and weighed by type, in the query's region where it names one."""

    name: str = "events_now"

    def score(self, query: Query, rows: Rows) -> Scores:
        columns = query.columns
        values = columns.popular_in(query.region) if query.region else columns.popularity
        if values is None:
            return Scores(np.zeros((len(rows), 1), np.float32))
        return Scores(POPULARITY.count(values[rows], query.at).astype(np.float32)[:, None])
