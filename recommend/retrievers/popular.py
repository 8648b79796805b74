"""Items by popularity: everywhere, in a region, of a category."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.retrievers.allowance import allowance
from recommend.stage import NONE, Mask, Retriever

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
        k = self.quota + allowance(query)
        return query.popular.within(query.region, filtered(query), k)[:k]


@dataclass(frozen=True, kw_only=True)
class PopularEverywhere(Retriever):
    """Items that are popular over all regions."""

    name: str = "popular"
    quota: int = POPULAR

    def find(self, query: Query) -> Rows:
        k = self.quota + allowance(query)
        return query.popular.everywhere(filtered(query), k)[:k]


@dataclass(frozen=True, kw_only=True)
class Trending(Retriever):
    """Popular items of the query's region and category, and no others, even if there are few."""

    name: str = "trending"
    quota: int = POPULAR

    def find(self, query: Query) -> Rows:
        k, allowed, lists = self.quota + query.n, filtered(query), query.popular
        if query.category:
            code = query.columns.category_codes.get(query.category)
            return lists.of_category(code, query.region, allowed, k)[:k] if code else NONE
        found = lists.within(query.region, allowed, k) if query.region else lists.everywhere(allowed, k)
        return found[:k]


@dataclass(frozen=True, kw_only=True)
class AnyAvailable(Retriever):
    """Every available item, most popular first: the fallback for people who have met all that is popular."""

    name: str = "any_available"
    quota: int = 0
    budget_ms: float = 50.0  # sorts the catalogue

    def find(self, query: Query) -> Rows:
        return query.popular.all(filtered(query))


def filtered(query: Query) -> Mask | None:
    """The allowed rows (n,) where the query has a filter, or rules hide items; otherwise the lists have available items
    alone already."""
    hiding = query.rules.rules and query.ruling.plan.hide_key is not None
    return query.allowed if query.filter or hiding else None
