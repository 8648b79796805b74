"""The few items that are worth an interruption: for one notification to a person."""

from recommend.rerankers import Diverse
from recommend.surface import Paging, Surface
from recommend.surfaces.email import email
from recommend.surfaces.home import home

push = Surface(
    name="push",
    title="Worth a look",
    doc="The few items worth a notification to a person, none that they have met, and fewer rather than filler.",
    personal=True,
    encoder=home.encoder,
    retrievers=home.retrievers,
    filters=email.filters,
    ranked=home.ranked,
    ranker=home.ranker,
    # A notification is for one tap.
    objective={"click": 3.0, "watch": 1.0, "buy": 1.0},
    rerankers=(Diverse(),),
    explainer=home.explainer,
    paging=Paging(3),
    parts_of=home.name,
)
