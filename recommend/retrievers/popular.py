"""Items by popularity: everywhere, in a region, of a category, in a context; and by how fast they gain."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import Rows
from operators.contexts import CONTEXTS, DEVICES, TIMES
from recommend.query import Query
from recommend.retrievers.allowance import allowance
from recommend.stage import NONE, Mask, Retriever

POPULAR = 200
"""candidates wanted; training shows the ranker as many"""
IN_CONTEXT = 50
"""candidates wanted of a context"""


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
        k, allowed, lists = self.quota + query.length, filtered(query), query.popular
        if query.category:
            code = query.columns.category_codes.get(query.category)
            return lists.of_category(code, query.region, allowed, k)[:k] if code else NONE
        found = lists.within(query.region, allowed, k) if query.region else lists.everywhere(allowed, k)
        return found[:k]


@dataclass(frozen=True, kw_only=True)
class Rising(Retriever):
    """Items of the query's region and category that gain faster than their own baseline, and no others."""

    name: str = "rising"
    quota: int = POPULAR

    def find(self, query: Query) -> Rows:
        k, code = self.quota + query.length, 0
        if query.category:
            code = query.columns.category_codes.get(query.category, 0)
            if not code:
                return NONE
        return query.popular.rising(query.at, query.region, code, filtered(query), k)[:k]


@dataclass(frozen=True, kw_only=True)
class PopularInContext(Retriever):
    """Items that are more popular in one of `contexts` than elsewhere, while the query is in it."""

    name: str = "popular_in_context"
    quota: int = IN_CONTEXT
    contexts: tuple[str, ...] = CONTEXTS

    def applies(self, query: Query) -> bool:
        return self.context(query) is not None

    def find(self, query: Query) -> Rows:
        context = self.context(query)
        if context is None:
            return NONE
        k = self.quota + allowance(query)
        return query.popular.in_context(context, query.at, filtered(query), k)[:k]

    def context(self, query: Query) -> int | None:
        """The place among CONTEXTS of the first of the query's contexts that is one of its own."""
        return next((context for context in query.contexts if CONTEXTS[context] in self.contexts), None)


AT_TIME = PopularInContext(name="popular_at_time", contexts=TIMES)
ON_DEVICE = PopularInContext(name="popular_on_device", contexts=DEVICES)


@dataclass(frozen=True, kw_only=True)
class AnyAvailable(Retriever):
    """Every available item, most popular first: fills answers up, also for people who have met all that is popular."""

    name: str = "any_available"
    quota: int = 0
    budget_ms: float = 50.0  # sorts the catalogue

    def find(self, query: Query) -> Rows:
        return query.popular.all(filtered(query))

    def best(self, query: Query) -> Rows:
        rows = query.popular.everywhere(filtered(query), query.length)
        return rows[query.allowed.take(rows, mode="clip")]  # the list may be older than the stock


def filtered(query: Query) -> Mask | None:
    """The allowed rows (n,) where they are fewer than those that are available, which are all that the lists have."""
    return query.allowed if query.is_narrowed else None
