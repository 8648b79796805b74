"""Removes what is in the cart, and what would be bought instead of it: complements are asked for."""

from __future__ import annotations

import math
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

    Two that are bought together on purpose (`Together.lifted`) are none, whatever their content: of yoghurts people
    take several flavours, of kettles one. Near vectors in a model's space are no sign of that, and do not count.
    """

    name: str = "near_duplicate"
    alike: float = ALIKE

    def keep(self, query: Query, rows: Rows) -> Mask:
        cart = [(row, content) for row in query.cart.tolist() if (content := _content(query, row))]
        known = {token for _, content in cart for token in content}
        kept = np.ones(len(rows), bool)
        for place, row in enumerate(rows.tolist()):
            content = _content(query, row)
            if not known.isdisjoint(content):
                kept[place] = all(
                    len(content & other) < self.alike * math.sqrt(len(content) * len(other))
                    or (of_cart, row) in query.together.lifted
                    for of_cart, other in cart
                )
        return kept


def _content(query: Query, row: int) -> frozenset[str]:
    """The item's tokens; none of one that has no entry in the catalogue."""
    item = query.columns.items[row]
    return frozenset(tokens(item)) if item else frozenset()
