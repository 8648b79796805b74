"""The home feed: personal, diverse, never empty."""

from recommend.encoders import ModelEncoder
from recommend.explain import Reasons
from recommend.filters import Available, NotDisliked, Unseen
from recommend.rankers import ByPopularity, Cautious, Onnx
from recommend.rerankers import Diverse, NewSlots
from recommend.retrievers import (
    AT_TIME,
    ON_DEVICE,
    AnyAvailable,
    AskedFor,
    Nearest,
    New,
    PopularEverywhere,
    PopularInRegion,
    Similar,
    Unfamiliar,
)
from recommend.surface import Surface

home = Surface(
    name="home",
    title="For you",
    doc="The home feed: personal, diverse, and never empty while an item is available.",
    personal=True,
    encoder=ModelEncoder(),
    retrievers=(
        Nearest(quota=200),
        Similar(quota=20, recents=5),
        New(quota=40),
        PopularInRegion(quota=200),
        PopularEverywhere(quota=200),
        AskedFor(quota=50),
        Unfamiliar(quota=50),
        AT_TIME,
        ON_DEVICE,
    ),
    filters=(Available(), NotDisliked(), Unseen()),
    ranked=500,
    ranker=Cautious(of=Onnx(), fallback=ByPopularity()),
    rerankers=(Diverse(), NewSlots()),
    explainer=Reasons(),
    fallback=AnyAvailable(),
)
