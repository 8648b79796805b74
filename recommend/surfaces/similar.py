"""Items similar to an item; popular ones where the model has no vector of it."""

from recommend.filters import Available, NotItself
from recommend.rankers import Cosine, EventsNow
from recommend.rerankers import Mmr
from recommend.retrievers import Neighbours, PopularEverywhere
from recommend.surface import Surface

similar = Surface(
    name="similar",
    title="Similar items",
    doc="Items like an item, and popular ones where the model has no vector of it.",
    call="GET /v1/items/{id}/similar",
    retrievers=(Neighbours(fallback=PopularEverywhere()),),
    filters=(Available(), NotItself()),
    ranked=4000,
    ranker=Cosine(fallback=EventsNow()),
    rerankers=(Mmr(diversity=0),),
)
