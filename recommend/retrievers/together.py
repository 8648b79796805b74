"""Items that are bought together with those of the cart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Retriever, StageError

TOGETHER, NEAR = 200, 20
MOST_SEARCHED = 20
"""items of a cart that are searched for, the last ones"""


@dataclass(frozen=True, kw_only=True)
class BoughtTogether(Retriever):
    """The best of `query.together`. Fails where nothing was in a basket with any item of the cart."""

    name: str = "together"
    quota: int = TOGETHER

    def find(self, query: Query) -> Rows:
        found = query.together.rows
        if not len(found):
            raise StageError("nothing was bought together with any of these items yet")
        return found if query.is_narrowed else found[: self.quota + query.length]


@dataclass(frozen=True, kw_only=True)
class NearCart(Retriever):
    """The neighbours of each item of the cart in the model's space, in turn. Fails where none has a vector."""

    name: str = "near_cart"
    quota: int = NEAR

    def find(self, query: Query) -> Rows:
        cart = query.cart[query.has_vector(query.cart)][-MOST_SEARCHED:]
        if not len(cart):
            raise StageError("no model has a vector of any of these items")
        found = query.nearest(query.vectors(cart), self.quota + query.length).T.ravel()
        return found[np.sort(np.unique(found, return_index=True)[1])]
