"""The few items that are worth an interruption: for one notification to a person."""

from dataclasses import replace

from recommend.digest import A_DAY, A_WEEK, DigestPlan, MessageCap
from recommend.surface import Paging
from recommend.surfaces.email import email

push = replace(
    email,
    name="push",
    title="Worth a look",
    doc="The few items worth a notification to a person, none that they have met, and fewer rather than filler.",
    # A notification is for one tap.
    objective={"click": 3.0, "watch": 1.0, "buy": 1.0},
    digest=DigestPlan(caps=(MessageCap(1, A_DAY), MessageCap(2, A_WEEK)), quiet=(20, 9), least=1),
    paging=Paging(3),
)
