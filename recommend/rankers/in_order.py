"""Scores that keep an order which was made already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.again import repurchases
from recommend.query import Query
from recommend.stage import Ranker, Scores


@dataclass(frozen=True, kw_only=True)
class InOrder(Ranker):
    """1 for the first candidate as the retrievers have put them, 1/2 for the second …"""

    name: str = "in_order"

    def score(self, query: Query, rows: Rows) -> Scores:
        return Scores((1.0 / (1.0 + np.arange(len(rows)))).astype(np.float32)[:, None])


@dataclass(frozen=True, kw_only=True)
class ByDue(Ranker):
    """How near each candidate is to the end of its interval between purchases, 0 to 1; 0 for what was not bought."""

    name: str = "by_due"

    def score(self, query: Query, rows: Rows) -> Scores:
        due = {each.row: each.score for each in repurchases(query.user, query.columns, query.at)}
        return Scores(np.array([due.get(row, 0.0) for row in rows.tolist()], np.float32)[:, None])
