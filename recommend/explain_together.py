"""Reasons of surfaces over a cart: each names the item of the cart that led to it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommend.candidate_set import CandidateSet
from recommend.explain import RELATED
from recommend.explain_controls import as_asked
from recommend.query import Query
from recommend.stage import Explainer, Reason
from recommend.wording import reason


@dataclass(frozen=True, kw_only=True)
class CartReasons(Explainer):
    """Since a control asked for it; often bought with an item of the cart; bought before; similar to an item of the
    cart; popular."""

    name: str = "cart_reasons"

    def explain(self, query: Query, candidates: CandidateSet) -> Sequence[Reason | None]:
        found = query.together
        because = dict(zip(found.rows.tolist(), found.because.tolist(), strict=True))
        bought = functools.cache(functools.partial(_bought, query))  # few items of the cart lead to all
        return [
            of_control or (bought(because[row]) if row in because else _similar(query, row) or reason(query, "popular"))
            for row, of_control in zip(candidates.rows.tolist(), as_asked(query, candidates.rows), strict=True)
        ]


def _bought(query: Query, row: int) -> Reason:
    if row < 0:
        return reason(query, "bought_before")
    return reason(query, "bought_with", query.columns.ids[row], title=_title(query, row))


def _similar(query: Query, row: int) -> Reason | None:
    vector = query.vectors(np.array([row]))[0]
    cosines = query.vectors(query.cart) @ vector
    if not len(cosines) or cosines.max() < RELATED:
        return None
    nearest = int(query.cart[int(cosines.argmax())])
    return reason(query, "similar_item", query.columns.ids[nearest], title=_title(query, nearest))


def _title(query: Query, row: int) -> str:
    item = query.columns.items[row]
    return (item.title if item else "") or query.columns.ids[row]
