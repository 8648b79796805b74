"""Of a person all that there is; of every other entity what makes sense without one person's sessions."""

from __future__ import annotations

from operators.features import (
    Decay,
    Vector,
    brand,
    category,
    item,
    item_region,
    region,
    session,
    user,
    user_category,
)
from operators.time import days
from tests.operators.features.made import SENSELESS, declare, matrix

OF_A_USER = matrix(user)
TASTE = Vector("taste", entity=user, weights={"click": 1.0, "dislike": -2.0}, window=Decay(days(7)))

FAMILIES = ("count", "sum", "mean", "max", "last_k", "distinct", "top", "ctr", "since", "entropy")
SCOPES = ("lifetime", "1h", "7d", "tumbling_1h", "decay_1h", "last_5")
OF_OTHERS = [
    declare(family, scope, entity)
    for entity in (item, session, category, brand, region, user_category, item_region)
    for family in FAMILIES
    for scope in SCOPES
    if (family, scope) not in SENSELESS
]
