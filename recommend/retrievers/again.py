"""Items that the person has met, of their recent interactions: begun, or due to be bought again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.again import repurchases
from recommend.query import Query
from recommend.stage import Retriever

BEGUN = frozenset({"view", "click", "play", "add_to_cart"})


@dataclass(frozen=True, kw_only=True)
class BuyAgain(Retriever):
    """Items that are due by the intervals of recommend/again.py, best first."""

    name: str = "again"
    quota: int = 0

    def find(self, query: Query) -> Rows:
        found = [each.row for each in repurchases(query.user, query.columns, query.at) if each.is_due]
        return np.array(found, np.int64)


@dataclass(frozen=True, kw_only=True)
class LastBegun(Retriever):
    """Items whose latest interaction is one of BEGUN, newest first: what was bought, liked or turned down since is
    done."""

    name: str = "begun"
    quota: int = 0

    def find(self, query: Query) -> Rows:
        user = query.user
        latest: dict[str, str] = {}
        for item_id, kind in zip(user["recent_items"], user["recent_types"], strict=False):
            latest.setdefault(item_id, kind)
        return query.columns.rows([item_id for item_id, kind in latest.items() if kind in BEGUN])
