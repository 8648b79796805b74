"""What people like a person liked lately; the home feed while nobody is known to be like them."""

from dataclasses import replace

from recommend.explain_favoured import FavourReasons
from recommend.favourites import ALIKE
from recommend.rankers import ByFavour
from recommend.retrievers import Favoured, Otherwise
from recommend.surfaces.friends import friends
from recommend.surfaces.home import home

people_like_you = replace(
    friends,
    name="people_like_you",
    title="Liked by people like you",
    doc="What the people nearest to a person liked lately, and the home feed while nobody is known to be near.",
    retrievers=(Favoured(whose=ALIKE), *(Otherwise(of=each, whose=ALIKE) for each in home.retrievers)),
    ranker=ByFavour(whose=ALIKE, fallback=home.ranker),
    explainer=FavourReasons(whose=ALIKE),
    reads=frozenset({ALIKE}),
)
