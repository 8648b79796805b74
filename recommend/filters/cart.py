"""Removes what is in the cart, and what would be bought instead of it: complements are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
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
        return (rows[:, None] != query.cart).all(axis=1)


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
        content_of, lifted = query.columns.content, query.together.lifted
        # |a ∩ b|² ≥ alike² · |a| · |b|: without a root, since this runs for each pair.
        cart = [
            (row, content, self.alike**2 * len(content)) for row in query.cart.tolist() if (content := content_of(row))
        ]
        known = {token for _, content, _ in cart for token in content}
        kept = np.ones(len(rows), bool)
        for place, row in enumerate(rows.tolist()):
            content = content_of(row)
            if known.isdisjoint(content):
                continue
            size = len(content)
            for of_cart, other, least in cart:
                common = len(content & other)
                if common * common >= least * size and (of_cart, row) not in lifted:
                    kept[place] = False
                    break
        return kept
