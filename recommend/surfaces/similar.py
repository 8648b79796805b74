"""Items like an item. Where no model has a vector of it, what is popular."""

from recommend.filters import Available, NotItself
from recommend.rankers import Cosine, EventsNow
from recommend.retrievers import Neighbours, PopularEverywhere
from recommend.surface import Surface

similar = Surface(
    name="similar",
    retrievers=(Neighbours(fallback=PopularEverywhere()),),
    filters=(Available(), NotItself()),
    ranked=4000,
    ranker=Cosine(fallback=EventsNow()),
)
