"""Items by popularity: everywhere, in a region, of a category."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.retrievers.allowance import allowance
from recommend.stage import NONE, Retriever

POPULAR = 200
"""candidates wanted; training shows the ranker as many"""


@dataclass(frozen=True, kw_only=True)
class PopularInRegion(Retriever):
    """Popular items of the query's region."""

    name: str = "popular_in_region"
    quota: int = POPULAR

    def applies(self, query: Query) -> bool:
        return bool(query.region)

    def find(self, query: Query) -> Rows:
        return query.popular.within(query.region)[: self.quota + allowance(query)]


@dataclass(frozen=True, kw_only=True)
class PopularEverywhere(Retriever):
    """Items that are popular over all regions."""

    name: str = "popular"
    quota: int = POPULAR

    def find(self, query: Query) -> Rows:
        return query.popular.everywhere()[: self.quota + allowance(query)]


@dataclass(frozen=True, kw_only=True)
class Trending(Retriever):
    """Popular items of the query's region and category, and no others, even if there are few."""

    name: str = "trending"
    quota: int = POPULAR

    def find(self, query: Query) -> Rows:
        if query.category:
            code = query.columns.category_codes.get(query.category)
            return query.popular.of_category(code, query.region)[: self.quota + query.n] if code else NONE
        lists = query.popular
        found = lists.within(query.region) if query.region else lists.everywhere()
        return found[: self.quota + query.n]


@dataclass(frozen=True, kw_only=True)
class AnyAvailable(Retriever):
    """Every available item, most popular first: the fallback for people who have met all that is popular."""

    name: str = "any_available"
    quota: int = 0
    budget_ms: float = 50.0  # sorts the catalogue

    def find(self, query: Query) -> Rows:
        return query.popular.all()
