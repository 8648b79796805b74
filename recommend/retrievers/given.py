"""The items that the request itself names."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Retriever


@dataclass(frozen=True, kw_only=True)
class Given(Retriever):
    """All of `query.given`, in their order."""

    name: str = "given"
    quota: int = 0

    def find(self, query: Query) -> Rows:
        return query.given
