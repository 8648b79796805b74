"""The main path's views, declared once: Flink state, Feast views and the ranker's inputs derive from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.aggregator import ATTRIBUTES_FIELD, state_fields
from operators.bandit_counts import Explored, LinearModel
from operators.context_popularity import ContextPopularity
from operators.contract import CellAggregation, View
from operators.controls import FIELDS as OF_CONTROLS
from operators.cooccurrence import Basket, Cooccurrence
from operators.decay import AffinityShares, Popularity
from operators.follows import FIELDS as OF_FOLLOWS
from operators.history import Applied, CurrentSession, Recent
from operators.keyed import IMPRESSION
from operators.picture_counts import PictureCounts
from operators.seen import Seen
from operators.shown import FIELDS as SHOWN_FIELDS
from operators.subject import CatalogueEntry, Profile
from operators.time import days, hours, minutes
from operators.vector import UserVector
from operators.windows import Counts, Ratio
from schemas.events import EVENT_TYPES

TASTE = {
    "view": 0.5, "click": 1.0, "play": 1.5, "share": 2.0, "add_to_cart": 2.0, "purchase": 3.0,
    "like": 3.0, "rating": 3.0, "dislike": -3.0,
}  # fmt: skip
"""What an event says about a person's taste. A rating's weight is scaled by its stars."""

INTEREST = {name: abs(weight) for name, weight in TASTE.items() if name != "dislike"} | {"rating": 1.0}
"""What an event adds to an item's popularity."""

MET = frozenset({"view", "click", "play", "add_to_cart", "purchase", "like", "dislike", "rating"})

ITEM_TYPES = (*EVENT_TYPES, IMPRESSION)

POPULARITY = Popularity("popularity", half_life=days(7), weights=INTEREST)
RECENT_POPULARITY = Popularity("popularity_recent", half_life=hours(6), weights=INTEREST)
"""what `POPULARITY` is compared with: how fast an item is gaining (recommend/velocity.py)"""
CONTEXT_POPULARITY = ContextPopularity("popularity_by_context", half_life=days(28), weights=INTEREST)
"""over four weeks, since a context comes again once a week"""

CTR = Ratio("ctr", top="click", bottom=IMPRESSION, prior=(1, 20))

LAST_EVENTS = 50
"""a person's last events that a row has"""

USER_VECTOR = UserVector(half_life=days(7), weights=TASTE)
OF_USER: tuple[CellAggregation[Any], ...] = (
    CurrentSession(gap=minutes(30), types=EVENT_TYPES, categories=5),
    Counts("events", EVENT_TYPES, windows=(minutes(5), hours(1), hours(24), days(7))),
    Recent(TASTE, k=LAST_EVENTS),
    AffinityShares("category_affinity", of="categories", half_life=days(14), weights=TASTE),
    AffinityShares("brand_affinity", of="brand", half_life=days(14), weights=TASTE),
    USER_VECTOR,
    Seen(MET),
    Profile(),
    Applied(),
    Basket(frozenset({"add_to_cart", "purchase"}), gap=minutes(30)),
)

user: View[Any] = View(
    "user_activity",
    entities=("user",),
    aggregations=OF_USER,
    extra=(*state_fields(OF_USER), ATTRIBUTES_FIELD),
    doc="one person: session, counts, recents, affinities, vector",
)

DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in user.fields}
"""of a person's row, by field"""

user_controls: View[Any] = View(
    "user_controls",
    entities=("user",),
    aggregations=(),
    extra=OF_CONTROLS,
    doc="a person's controls: hide, less like this, not this category, undo and the like",
)

user_shown: View[Any] = View(
    "user_shown",
    entities=("user",),
    aggregations=(),
    extra=SHOWN_FIELDS,
    doc="what a person was shown, by surface: items and half hours",
)

CONSENT = "consent", "consent_given"
"""fields of `user_activity` that say whether the person consents"""

OF_OTHERS = (
    *CONSENT, "recent_items", "recent_times", "recent_tastes", "vector", "vector_space",
)  # fmt: skip
"""fields of `user_activity` that answers for somebody else are made from"""

MET_BEFORE: tuple[str, ...] = tuple(field.name for field in Seen(MET).cells)
"""fields of `user_activity` that say what a person has met: `operators.seen.seen_hashes` reads them"""

user_follows: View[Any] = View(
    "user_follows",
    entities=("user",),
    aggregations=(),
    extra=OF_FOLLOWS,
    doc="whom a person follows",
)

VECTOR_AT = user.aggregations.index(USER_VECTOR)
"""position of the user vector's state among the parts of a state of `user`"""

item: View[Any] = View(
    "item_activity",
    entities=("item",),
    aggregations=(
        Counts("events", ITEM_TYPES, windows=(hours(1), hours(24), days(7)), ratios=(CTR,)),
        POPULARITY,
        RECENT_POPULARITY,
        CONTEXT_POPULARITY,
        CatalogueEntry(),
    ),
    doc="one item, everywhere",
)

item_region: View[Any] = View(
    "item_region_activity",
    entities=("item", "region"),
    aggregations=(
        Counts("events", ITEM_TYPES, windows=(hours(1), hours(24), days(7)), ratios=(CTR,)),
        POPULARITY,
        RECENT_POPULARITY,
    ),
    doc="one item in one region",
)

item_cooccurrence: View[Any] = View(
    "item_cooccurrence",
    entities=("item",),
    aggregations=(Cooccurrence(half_life=days(365)),),
    doc="what one item is bought together with",
)

EXPLORED = Explored(half_life=days(28))
PICTURES = PictureCounts(half_life=days(28))
LINEAR = LinearModel(half_life=days(28))

item_exploration: View[Any] = View(
    "item_exploration",
    entities=("item",),
    aggregations=(EXPLORED, PICTURES),
    doc="how often one item, and each of its pictures, was shown by a bandit policy and taken",
)

policy_model: View[Any] = View(
    "policy_model",
    entities=("policy",),
    aggregations=(LINEAR,),
    doc="the linear model of one bandit policy, named surface/context_id/width",
)

OF_SERVERS = (item, item_region, item_cooccurrence, item_exploration, policy_model)
SERVED = frozenset(view.name for view in OF_SERVERS)
"""views whose rows servers keep as columns"""

ALL = (user, user_controls, user_follows, user_shown, *OF_SERVERS)
"""every view of the main path"""
