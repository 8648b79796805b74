"""Candidate sources, one a file. A surface lists those that it uses, each with its quota."""

from recommend.retrievers.again import BuyAgain, LastBegun
from recommend.retrievers.asked import AskedFor, Unfamiliar
from recommend.retrievers.favoured import Favoured, Otherwise
from recommend.retrievers.given import Given
from recommend.retrievers.nearest import NEAREST, Nearest
from recommend.retrievers.neighbours import BoughtWithItem, Neighbours
from recommend.retrievers.new import NEW, New
from recommend.retrievers.popular import (
    AT_TIME,
    ON_DEVICE,
    POPULAR,
    AnyAvailable,
    PopularEverywhere,
    PopularInContext,
    PopularInRegion,
    Rising,
    Trending,
)
from recommend.retrievers.similar import RECENTS, SIMILAR, Similar
from recommend.retrievers.together import BoughtTogether, NearCart

__all__ = [
    "AT_TIME", "NEAREST", "NEW", "ON_DEVICE", "POPULAR", "RECENTS", "SIMILAR", "AnyAvailable", "AskedFor",
    "BoughtTogether", "BoughtWithItem", "BuyAgain", "Favoured", "Given", "LastBegun", "NearCart", "Nearest",
    "Neighbours", "New", "Otherwise", "PopularEverywhere", "PopularInContext", "PopularInRegion", "Rising",
    "Similar", "Trending", "Unfamiliar",
]  # fmt: skip
