"""Items similar to an item, by behaviour and by content; popular ones where the model has no vector of it."""

from recommend.explain_similar import SimilarReasons
from recommend.filters import Available, NotItself
from recommend.rankers import Blended, EventsNow
from recommend.rerankers import Mmr
from recommend.retrievers import BoughtWithItem, Neighbours, PopularEverywhere
from recommend.surface import Surface

similar = Surface(
    name="similar",
    title="Similar items",
    doc="Items like an item, by what people do with them and by what they are, and popular ones where the model has no "
    "vector of it.",
    call="GET /v1/items/{id}/similar",
    retrievers=(Neighbours(fallback=PopularEverywhere()), BoughtWithItem()),
    filters=(Available(), NotItself()),
    ranked=4000,
    ranker=Blended(fallback=EventsNow()),
    # Content takes over by itself where an item has little behaviour (recommend/similarity.py).
    objective={"behaviour": 0.8, "content": 0.2},
    rerankers=(Mmr(diversity=0),),
    explainer=SimilarReasons(),
)
