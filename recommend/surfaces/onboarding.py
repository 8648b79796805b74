"""Items to ask a new person about: those of which an answer tells the most, of the popular ones."""

from recommend.filters import Available, Unseen
from recommend.rankers import EventsNow
from recommend.rerankers import Informative
from recommend.retrievers import Trending
from recommend.surface import Paging, Surface

onboarding = Surface(
    name="onboarding",
    title="Which of these do you like?",
    doc="Items to ask a new person about: those of which an answer tells the most, of the popular ones.",
    call="GET /v1/onboarding",
    retrievers=(Trending(quota=500),),
    filters=(Available(), Unseen()),
    ranked=500,
    ranker=EventsNow(),
    rerankers=(Informative(diversity=1),),
    paging=Paging(12, 100),
)
"""GET /v1/onboarding"""
