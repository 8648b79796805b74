"""Removes what is in the cart, and what would be bought instead of it: complements are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from feature_repo.contents import shared_at_most
from recommend.among import among
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
        return ~among(rows, np.sort(query.cart))


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
        columns, kept = query.columns, np.ones(len(rows), bool)
        signatures = columns.signatures(rows)
        for of_cart in query.cart.tolist():
            content = columns.contents.of(of_cart)
            # |a ∩ b|² ≥ alike² · |a| · |b| and |b| ≥ |a ∩ b| give |a ∩ b| ≥ alike² · |a|.
            least = self.alike**2 * len(content)
            alike = shared_at_most(content, signatures) >= least
            for place in np.flatnonzero(alike & kept).tolist() if content else ():
                row = int(rows[place])
                other = columns.contents.of(row)
                common = len(content & other)
                if common and common * common >= least * len(other) and (of_cart, row) not in query.together.lifted:
                    kept[place] = False
        return kept
