"""Filters, one a file. A surface lists those that it uses, in the order in which they are applied."""

from recommend.filters.available import Available
from recommend.filters.cart import Complements, NotInCart
from recommend.filters.disliked import NotDisliked
from recommend.filters.excluded import Excluded
from recommend.filters.hidden import NotHidden
from recommend.filters.itself import NotItself
from recommend.filters.matching import Matching
from recommend.filters.refused import NotRefused
from recommend.filters.seen import Unseen

__all__ = [
    "Available", "Complements", "Excluded", "Matching", "NotDisliked", "NotHidden", "NotInCart", "NotItself",
    "NotRefused", "Unseen",
]  # fmt: skip
