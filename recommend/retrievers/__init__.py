"""Candidate sources, one a file. A surface lists those that it uses, each with its quota."""

from recommend.retrievers.again import BuyAgain, LastBegun
from recommend.retrievers.asked import AskedFor, Unfamiliar
from recommend.retrievers.given import Given
from recommend.retrievers.nearest import NEAREST, Nearest
from recommend.retrievers.neighbours import Neighbours
from recommend.retrievers.new import NEW, New
from recommend.retrievers.popular import POPULAR, AnyAvailable, PopularEverywhere, PopularInRegion, Trending
from recommend.retrievers.similar import RECENTS, SIMILAR, Similar
from recommend.retrievers.together import BoughtTogether, NearCart

__all__ = [
    "NEAREST", "NEW", "POPULAR", "RECENTS", "SIMILAR",
    "AnyAvailable", "AskedFor", "BoughtTogether", "BuyAgain", "Given", "LastBegun", "NearCart", "Nearest", "Neighbours",
    "New", "PopularEverywhere", "PopularInRegion", "Similar", "Trending", "Unfamiliar",
]  # fmt: skip
