"""Scores by popularity, which needs no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from feature_repo.views import POPULARITY as POPULARITY  # re-exported
from recommend import contextual, velocity
from recommend.query import Query
from recommend.stage import Ranker, Scores

HIGHEST = 1e6
"""of velocities: as of a time before an item's events there is no end to it"""


@dataclass(frozen=True, kw_only=True)
class ByPopularity(Ranker):
    """1 for the most popular candidate, 1/2 for the second …; candidates of no popularity keep their order. What counts
    is how popular a candidate is in the query's contexts: its popularity everywhere times its lift in each."""

    name: str = "by_popularity"

    def score(self, query: Query, rows: Rows) -> Scores:
        columns, at = query.columns, query.at
        lifts = contextual.lifts(columns, rows, query.contexts, query.popular.shares(at), at)
        order = np.empty(len(rows), np.int64)
        order[np.argsort(-(columns.popularity[rows] + np.log2(lifts)), kind="stable")] = np.arange(len(rows))
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


@dataclass(frozen=True, kw_only=True)
class ByVelocity(Ranker):
    """How many times its own baseline each candidate gains now, at least, with a probability of 95 %
    (recommend/velocity.py); in the query's region where it names one."""

    name: str = "velocity"

    def score(self, query: Query, rows: Rows) -> Scores:
        found = velocity.of_items(query.columns, rows, query.at, query.region).at_least
        return Scores(np.minimum(found, HIGHEST).astype(np.float32)[:, None])
