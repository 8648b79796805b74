"""Items that are popular now, or gain fast now, everywhere or in a region, of all categories or of one."""

from collections.abc import Mapping
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


def by(surface: Surface) -> Mapping[str, Surface]:
    """What items are trending by → the surface, of one that is by popularity."""
    return {"popularity": surface, "velocity": replace(surface, retrievers=(Rising(),), ranker=ByVelocity())}


BY = by(trending)
"""what items are trending by → the surface"""
