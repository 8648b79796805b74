"""New items that suit the person, whether or not anybody has met them yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.candidates import Candidates
from feature_repo.columns import Rows
from operators.time import DAY
from recommend.query import Query
from recommend.rerankers.recency import NEW_DAYS
from recommend.retrievers.allowance import allowance
from recommend.stage import NONE, Retriever, StageError

NEW = 40
SUITS = 0.2
"""least cosine of an item's vector and the person's, or share of its categories that are stated interests"""
GRADE = 0.1
"""differences of these that are the same to a person: of items that suit as well, the newest come first, or where
many are of the same categories the latest one would not be found"""


@dataclass(frozen=True, kw_only=True)
class New(Retriever):
    """The items created within NEW_DAYS that suit the person best, in steps of GRADE, and of equal ones the newest. An
    item suits by the cosine of its vector and the person's; of somebody of whom stated interests are all that is known
    also by the share of its categories that are among these, where that is more: its other words may turn its vector
    elsewhere. A search of all items hardly finds one that has a vector of its content alone among those that people's
    behaviour has put together. Fails where the model has no space for the surface."""

    name: str = "new"
    quota: int = NEW

    def find(self, query: Query) -> Rows:
        if query.parts.space is None:
            raise StageError("the bundle has no space for this surface" if query.model else "there is no model")
        vector = query.ranking.vector if query.encoded is None else query.encoded
        if vector is None:
            return NONE
        rows = query.columns.newest.between(query.at - NEW_DAYS * DAY, query.at)
        rows = rows[rows < len(query.allowed)]
        rows = rows[query.allowed.take(rows)]
        fit = query.vectors(rows) @ vector
        if query.from_interests:
            fit = np.maximum(fit, Candidates(query.ranking, rows).category_share(query.user["interests"]))
        suits = (fit >= SUITS).nonzero()[0]  # few of them
        rows, grades = rows.take(suits), np.rint(fit.take(suits) / GRADE)
        best = np.lexsort((-query.columns.created_at.take(rows), -grades))[: self.quota + allowance(query)]
        return rows.take(best)
