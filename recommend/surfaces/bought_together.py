"""What is bought together with an item; similar or popular items where nothing was yet."""

from recommend.explain_together import CartReasons
from recommend.filters import Available, Complements, NotInCart
from recommend.rankers import ByCooccurrence
from recommend.rerankers import Mmr
from recommend.retrievers import AnyAvailable, BoughtTogether, NearCart, PopularEverywhere
from recommend.surface import Paging, Surface

bought_together = Surface(
    name="bought_together",
    title="Bought together",
    doc="What is bought together with an item, and similar or popular items where nothing was yet.",
    call="GET /v1/items/{id}/bought-together",
    retrievers=(BoughtTogether(fallback=NearCart(fallback=PopularEverywhere())),),
    filters=(Available(), NotInCart(), Complements()),
    ranker=ByCooccurrence(),
    rerankers=(Mmr(diversity=0),),
    explainer=CartReasons(),
    fallback=AnyAvailable(),
    paging=Paging(10, 200),
)
