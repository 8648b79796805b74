"""Items that are popular now, or gain fast now, everywhere or in a region, of all categories or of one."""

from dataclasses import replace

from recommend.filters import Available
from recommend.rankers import ByVelocity, EventsNow
from recommend.rerankers import Mmr
from recommend.retrievers import Rising, Trending
from recommend.surface import Surface

trending = Surface(
    name="trending",
    title="Trending now",
    doc="Items that are popular now, everywhere or in a region, of all categories or of one.",
    call="GET /v1/trending",
    retrievers=(Trending(),),
    filters=(Available(),),
    ranked=1000,
    ranker=EventsNow(),
    rerankers=(Mmr(diversity=0),),
)

BY = {"popularity": trending, "velocity": replace(trending, retrievers=(Rising(),), ranker=ByVelocity())}
"""what items are trending by → the surface"""
