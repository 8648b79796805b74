"""A few items for a mail to a person: what they have met is left out, even where fewer are left."""

from operators.time import days
from recommend.digest import A_DAY, A_WEEK, DigestPlan, MessageCap
from recommend.filters import Available, NotDisliked, Unseen
from recommend.rerankers import Diverse
from recommend.rotation import Rotation
from recommend.surface import Paging, Surface
from recommend.surfaces.home import home

email = Surface(
    name="email",
    title="Picked for you",
    doc="A few items for a mail to a person, none that they have met, and fewer rather than filler.",
    personal=True,
    encoder=home.encoder,
    retrievers=home.retrievers,
    filters=(Available(), NotDisliked(relaxable=False), Unseen(relaxable=False)),
    ranked=home.ranked,
    ranker=home.ranker,
    # Who opens a mail comes to buy rather than to browse.
    objective={"click": 1.0, "watch": 1.0, "buy": 3.0},
    # No places for new items: a mail has too few, and is read too late for what people make of it to help others.
    rerankers=(Diverse(),),
    explainer=home.explainer,
    # What was sent is not sent again for a month, by mail or by push.
    rotation=Rotation(after=1, rest=days(30), removes=True, of=("email", "push")),
    digest=DigestPlan(caps=(MessageCap(1, A_DAY), MessageCap(3, A_WEEK)), least=3),
    paging=Paging(10),
    parts_of=home.name,
)
