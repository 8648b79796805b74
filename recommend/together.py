"""Scores of items by what they are bought together with.

    score(b | cart, person) = Σ over a in cart  confidence(a → b)^1.4 · rarity(b)^0.25  +  0.6 · repurchase(b)
    confidence(a → b) = together(a, b) / (baskets(a) + 5)
    rarity(b) = all lines / (baskets(b) + 3)
    repurchase(b) = 2^(-age of the person's last purchase of b / 30 days)

    lift(a, b) = together(a, b) · all lines / (baskets(a) · baskets(b) · partners(a))
    partners(a) = Σ over b together(a, b) / baskets(a): the mean number of other items in a's baskets

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
from feature_repo.partners import Pairs
from operators.cooccurrence import Cooccurrence
from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY

HALF_LIFE: int = next(a for a in views.item_cooccurrence.aggregations if isinstance(a, Cooccurrence)).half_life
CONFIDENCE, RARITY = 1.4, 0.25
"""exponents"""
FEW, FEW_OF_PARTNER = 5.0, 3.0
"""baskets that are added to the item's and to the partner's"""
REPURCHASE = 0.6
LIFT = 2.0
"""from which a pair counts as bought together on purpose: substitutes have a lift below 1"""
SEEN_TOGETHER = 3.0
"""decayed baskets with both that such a pair has at least: of fewer a lift says little"""
REPURCHASE_HALF_LIFE = 30 * DAY
BOUGHT = frozenset({"purchase"})


class Together(NamedTuple):
    """Items that are bought with those of a cart, or again, best first."""

    rows: Rows
    scores: npt.NDArray[np.float32]
    because: Rows
    """row of the item of the cart that the largest term is of; -1 where the person has bought the item before, and
    nothing of the cart with it"""
    lifted: frozenset[tuple[int, int]] = frozenset()
    """(row of the cart, row of a partner): the pairs that were in SEEN_TOGETHER baskets and have a lift of LIFT"""


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
    lines, of_rows = columns.basket_lines * left, np.exp2(baskets[rows]) * left
    rarity = lines / (of_rows + FEW_OF_PARTNER)
    terms = confidence**CONFIDENCE * rarity[place] ** RARITY
    scores = np.zeros(len(rows))
    np.add.at(scores, place, terms)
    because = np.full(len(rows), -1)
    order = np.argsort(terms, kind="stable")
    because[place[order]] = cart[found.sources[order]]  # the last one written is the largest
    scores[bought_before] += REPURCHASE * 2.0 ** (-ages / REPURCHASE_HALF_LIFE)
    best = np.argsort(-scores, kind="stable")
    best = best[(rows[best][:, None] != cart).all(axis=1)]
    lifted = _lifted(found, cart, own, lines, of_rows[place])
    return Together(rows[best], scores[best].astype(np.float32), because[best], lifted)


def _lifted(
    found: Pairs, cart: Rows, own: npt.NDArray[Any], lines: float, of_partner: npt.NDArray[Any]
) -> frozenset[tuple[int, int]]:
    """The pairs of which baskets and lift are high enough; `own` are the baskets of the cart's items, `of_partner`
    those of the partner of each pair."""
    partners = np.bincount(found.sources, found.shares, len(cart))
    lift = found.shares * lines / np.maximum(partners[found.sources] * of_partner, 1e-12)
    chosen = (lift >= LIFT) & (found.shares * own[found.sources] >= SEEN_TOGETHER)
    return frozenset(zip(cart[found.sources[chosen]].tolist(), found.partners[chosen].tolist(), strict=True))


def _bought(columns: ItemColumns, user: Mapping[str, Any] | None, at: int) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Rows of the items that the person has bought, each once, and how long ago the last time was, ms."""
    latest: dict[int, int] = {}
    if user is not None:
        for item_id, kind, time in zip(user["recent_items"], user["recent_types"], user["recent_times"], strict=False):
            if kind in BOUGHT and (row := columns.row_of.get(item_id)) is not None:
                latest[row] = max(time, latest.get(row, 0))
    ages = np.maximum(0.0, at - np.array(list(latest.values()), np.float64))
    return np.array(list(latest), np.int64), ages
