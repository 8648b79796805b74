"""Removes what is in the cart, and near-duplicates of it: complements are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from operators.space import tokens
from recommend.query import Query
from recommend.stage import Filter, Mask

ALIKE = 0.85
"""cosine of two items' content from which one is a near-duplicate of the other"""


@dataclass(frozen=True, kw_only=True)
class NotInCart(Filter):
    """Never relaxed; fails open."""

    name: str = "in_cart"
    relaxable: bool = False

    def keep(self, query: Query, rows: Rows) -> Mask:
        return np.isin(rows, query.cart, invert=True)


@dataclass(frozen=True, kw_only=True)
class Complements(Filter):
    """Removes candidates whose content (categories, brand, words of the title, attributes) has a cosine of `alike` or
    more to that of an item of the cart, as sets of tokens: |a ∩ b| / √(|a| · |b|). Fails open.

    What people do does not count here: items that are bought together have similar vectors in a model's space.
    """

    name: str = "near_duplicate"
    alike: float = ALIKE

    def keep(self, query: Query, rows: Rows) -> Mask:
        cart = _contents(query, query.cart)
        if not cart:
            return np.ones(len(rows), bool)
        known = {token for content in cart for token in content}
        kept = np.ones(len(rows), bool)
        for place, row in enumerate(rows.tolist()):
            content = next(iter(_contents(query, (row,))), None)
            if content and not known.isdisjoint(content):
                kept[place] = all(
                    len(content & other) < self.alike * math.sqrt(len(content) * len(other)) for other in cart
                )
        return kept


def _contents(query: Query, rows: Iterable[int]) -> list[frozenset[str]]:
    """The tokens of those of the items that have any."""
    items = (query.columns.items[row] for row in rows)
    return [found for item in items if item and (found := frozenset(tokens(item)))]
