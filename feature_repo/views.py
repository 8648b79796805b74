"""The features, declared once. Flink state, Feast views and the ranker's inputs derive from here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from feature_repo.registry import EMPTY, Repository
from operators.attribution import Attribution
from operators.contract import Operator, View, World
from operators.decay import AffinityShares, Popularity
from operators.history import Applied, CurrentSession, Recent, Seen
from operators.keyed import IMPRESSION, STATE_FIELD, ItemOperator, UserOperator
from operators.subject import CatalogueEntry, Profile
from operators.time import DEFAULT_LATENESS, days, hours, minutes
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

CTR = Ratio("ctr", top="click", bottom=IMPRESSION, prior=(1, 20))

user: View[Any] = View(
    "user_activity",
    entities=("user",),
    aggregations=(
        CurrentSession(gap=minutes(30), types=EVENT_TYPES, categories=5),
        Counts("events", EVENT_TYPES, windows=(minutes(5), hours(1), hours(24), days(7))),
        Recent(TASTE, k=50),
        AffinityShares("category_affinity", of="categories", half_life=days(14), weights=TASTE),
        AffinityShares("brand_affinity", of="brand", half_life=days(14), weights=TASTE),
        UserVector(half_life=days(7), weights=TASTE),
        Seen(MET),
        Profile(),
        Applied(),
    ),
    extra=(STATE_FIELD,),
    doc="one person: session, counts, recents, affinities, vector",
)

item: View[Any] = View(
    "item_activity",
    entities=("item",),
    aggregations=(
        Counts("events", ITEM_TYPES, windows=(hours(1), hours(24), days(7)), ratios=(CTR,)),
        Popularity("popularity", half_life=days(7), weights=INTEREST),
        CatalogueEntry(),
    ),
    doc="one item, everywhere",
)

item_region: View[Any] = View(
    "item_region_activity",
    entities=("item", "region"),
    aggregations=(
        Counts("events", ITEM_TYPES, windows=(hours(1), hours(24), days(7)), ratios=(CTR,)),
        Popularity("popularity", half_life=days(7), weights=INTEREST),
    ),
    doc="one item in one region",
)


SERVED = frozenset({item.name, item_region.name})
"""views whose rows servers keep as columns"""


def served(declared: Repository) -> dict[str, tuple[tuple[int, str], ...]]:
    """Views whose rows servers hear of: places and names of the fields that crosses read, none for a whole row."""
    found: dict[str, tuple[tuple[int, str], ...]] = dict.fromkeys(SERVED, ())
    for value in declared.reads.item:
        fields = [field.name for field in declared.view(value.entity).fields]
        name = value.field.name
        found[value.entity.view] = (*found.get(value.entity.view, ()), (fields.index(name), name))
    return found


def user_operator(
    world: World,
    lateness: int | None = DEFAULT_LATENESS,
    declared: Repository = EMPTY,
    attribution: Attribution | None = None,
) -> Operator[Any]:
    """The operator behind `user_activity` and what is declared of users; with `attribution`, behind examples too."""
    return declared.beside_user(UserOperator(user, world, lateness), world, attribution)


def item_operator(world: World, declared: Repository = EMPTY) -> Operator[Any]:
    """The operator behind `item_activity`, `item_region_activity` and what is declared of whatever is not a user."""
    return declared.beside_item(ItemOperator(item, item_region, world), world)


def declared_alone(world: World, declared: Repository) -> tuple[Operator[Any], Operator[Any]]:
    """The two operators with nothing but the door and what is declared, for archived events: they have been let in."""
    of_user, of_item, of_region = (replace(view, aggregations=()) for view in (user, item, item_region))
    return (
        declared.beside_user(UserOperator(of_user, world, None), world),
        declared.beside_item(ItemOperator(of_item, of_region, world), world),
    )
