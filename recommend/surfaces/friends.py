"""What those whom a person follows liked lately; the home feed for who follows nobody."""

from dataclasses import replace

from recommend.explain_favoured import FavourReasons
from recommend.favourites import FRIENDS
from recommend.rankers import ByFavour
from recommend.rerankers import Mmr
from recommend.retrievers import Favoured, Otherwise
from recommend.surfaces.home import home

friends = replace(
    home,
    name="friends",
    title="Liked by those you follow",
    doc="What those whom a person follows liked or bought lately, and the home feed for a person who follows nobody.",
    retrievers=(Favoured(whose=FRIENDS), *(Otherwise(of=each, whose=FRIENDS) for each in home.retrievers)),
    ranker=ByFavour(whose=FRIENDS, fallback=home.ranker),
    # Relevance alone: what fills the list up would come before what one of them liked.
    rerankers=(Mmr(diversity=0),),
    explainer=FavourReasons(whose=FRIENDS),
    parts_of=home.name,
    reads=frozenset({FRIENDS}),
)
