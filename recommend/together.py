"""Scores of items by what they are bought together with.

    score(b | cart, person) = Σ over a in cart  confidence(a → b)^1.4 · rarity(b)^0.25  +  0.6 · repurchase(b)
    confidence(a → b) = together(a, b) / (baskets(a) + 5)
    rarity(b) = all lines / (baskets(b) + 3)
    repurchase(b) = 2^(-age of the person's last purchase of b / 30 days)

All numbers are decayed; a basket has a line an item, and all lines are the sum of the baskets of all items. With lift =
confidence · rarity (Brin et al., SIGMOD 1997, up to the mean size of a basket) a term is confidence^1.15 · lift^0.25:
confidence says how often b is bought where a is, lift how far above its own popularity. Lift alone ranks accidents of
rare items first, confidence alone what everybody buys. The constants in the denominators shrink what few baskets say.
The weights were chosen on the validation days of Complete Journey (`python -m training.baskets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo import views
from feature_repo.columns import ItemColumns, Rows
from operators.cooccurrence import Cooccurrence
from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY

HALF_LIFE: int = next(a for a in views.item_cooccurrence.aggregations if isinstance(a, Cooccurrence)).half_life
CONFIDENCE, RARITY = 1.4, 0.25
"""exponents"""
FEW, FEW_OF_PARTNER = 5.0, 3.0
"""baskets that are added to the item's and to the partner's"""
REPURCHASE = 0.6
REPURCHASE_HALF_LIFE = 30 * DAY
BOUGHT = frozenset({"purchase"})


class Together(NamedTuple):
    """Items that are bought with those of a cart, or again, best first."""

    rows: Rows
    scores: npt.NDArray[np.float32]
    because: Rows
    """row of the item of the cart that the largest term is of; -1 where the person has bought the item before, and
    nothing of the cart with it"""


NOTHING = Together(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))


def together(columns: ItemColumns, cart: Rows, at: int, user: Mapping[str, Any] | None = None) -> Together:
    """The items that are bought with those of `cart` (n,), rows of the columns, as of `at`, epoch ms. With `user`, a
    row of `user_activity`, items that the person has bought before are among them. Those of the cart are not."""
    found = columns.partners.of(cart.tolist())
    again, ages = _bought(columns, user, at)
    rows, place = np.unique(np.concatenate([found.partners, again]), return_inverse=True)
    if not len(rows):
        return NOTHING
    place, bought_before = place[: len(found.partners)], place[len(found.partners) :]
    left = 2.0 ** -((at - POPULARITY_ORIGIN) / HALF_LIFE)
    baskets = columns.baskets
    own = np.exp2(baskets[cart]) * left
    confidence = found.shares * (own / (own + FEW))[found.sources]
    rarity = columns.basket_lines * left / (np.exp2(baskets[rows]) * left + FEW_OF_PARTNER)
    terms = confidence**CONFIDENCE * rarity[place] ** RARITY
    scores = np.zeros(len(rows))
    np.add.at(scores, place, terms)
    because = np.full(len(rows), -1)
    order = np.argsort(terms, kind="stable")
    because[place[order]] = cart[found.sources[order]]  # the last one written is the largest
    scores[bought_before] += REPURCHASE * 2.0 ** (-ages / REPURCHASE_HALF_LIFE)
    best = np.argsort(-scores, kind="stable")
    best = best[~np.isin(rows[best], cart)]
    return Together(rows[best], scores[best].astype(np.float32), because[best])


def _bought(columns: ItemColumns, user: Mapping[str, Any] | None, at: int) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Rows of the items that the person has bought, each once, and how long ago the last time was, ms."""
    latest: dict[int, int] = {}
    if user is not None:
        for item_id, kind, time in zip(user["recent_items"], user["recent_types"], user["recent_times"], strict=False):
            row = columns.row_of.get(item_id)
            if row is not None and kind in BOUGHT:
                latest[row] = max(time, latest.get(row, 0))
    ages = np.maximum(0.0, at - np.array(list(latest.values()), np.float64))
    return np.array(list(latest), np.int64), ages
