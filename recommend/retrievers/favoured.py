"""Items that other people liked lately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.favourites import NO_FAVOURITES
from recommend.query import Query
from recommend.stage import Retriever


def has_favourites(query: Query, whose: str) -> bool:
    """Whether those people liked anything lately."""
    return len(query.others.get(whose, NO_FAVOURITES).rows) > 0


@dataclass(frozen=True, kw_only=True)
class Favoured(Retriever):
    """What the people `whose` liked (recommend/favourites.py), best first."""

    name: str = "favoured"
    quota: int = 0
    whose: str

    def applies(self, query: Query) -> bool:
        return has_favourites(query, self.whose)

    def find(self, query: Query) -> Rows:
        rows, allowed = query.others[self.whose].rows, query.allowed
        return rows[(rows < len(allowed)) & allowed.take(rows, mode="clip")]


@dataclass(frozen=True, kw_only=True)
class Otherwise(Retriever):
    """The source `of`, where the people `whose` liked nothing lately, or there are none."""

    name: str = ""
    quota: int = 0
    of: Retriever
    whose: str

    def __post_init__(self) -> None:
        for field in ("name", "quota", "budget_ms", "fallback"):
            object.__setattr__(self, field, getattr(self.of, field))

    def applies(self, query: Query) -> bool:
        return not has_favourites(query, self.whose) and self.of.applies(query)

    def find(self, query: Query) -> Rows:
        return np.asarray(self.of.find(query))
