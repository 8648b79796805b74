"""Items that a person's controls ask for: of categories and brands that they want more of, and of unknown ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.controls import codes_of
from recommend.explore import known_codes
from recommend.query import Query
from recommend.retrievers.allowance import allowance
from recommend.stage import NONE, Retriever

ASKED = 50
"""candidates wanted of each category or brand"""
MOST = 10
"""categories and brands that are searched for, the ones asked for last"""


@dataclass(frozen=True, kw_only=True)
class AskedFor(Retriever):
    """The most popular items of each category and brand that the person wants more of, in turn."""

    name: str = "asked_for"
    quota: int = ASKED

    def applies(self, query: Query) -> bool:
        controls = query.controls
        return bool(controls.more_categories or controls.more_brands or controls.interests)

    def find(self, query: Query) -> Rows:
        controls, columns, lists = query.controls, query.columns, query.popular
        k, allowed = self.quota + allowance(query), query.allowed
        categories = codes_of(columns.category_codes, (*controls.more_categories, *controls.interests))[:MOST]
        brands = codes_of(columns.brand_codes, controls.more_brands)[:MOST]
        return in_turn(
            [lists.of_category(code, query.region, allowed, k)[:k] for code in categories]
            + [lists.of_brand(code, allowed, k) for code in brands]
        )


@dataclass(frozen=True, kw_only=True)
class Unfamiliar(Retriever):
    """The most popular items of categories that the person does not know, for as long as they ask for something new."""

    name: str = "unfamiliar"
    quota: int = ASKED

    def applies(self, query: Query) -> bool:
        return query.controls.explores

    def find(self, query: Query) -> Rows:
        k, allowed = self.quota + allowance(query), query.allowed
        codes = query.columns.categories[: len(allowed)]
        table = np.zeros(len(query.columns.category_codes) + 2, bool)
        table[known_codes(query)] = True
        out = allowed.copy()
        out[np.flatnonzero(table.take(codes.ravel(), mode="clip")) // codes.shape[1]] = False
        out &= codes[:, 0] > 0
        return query.popular.everywhere(out, k)[:k]


def in_turn(found: list[Rows]) -> Rows:
    """The first of each, then the second of each …, each row once."""
    longest = max(map(len, found), default=0)
    if not longest:
        return NONE
    padded = np.full((len(found), longest), -1)
    for place, rows in enumerate(found):
        padded[place, : len(rows)] = rows
    laid = padded.T.ravel()
    laid = laid[laid >= 0]
    return laid[np.sort(np.unique(laid, return_index=True)[1])]
