"""Reasons of items like an item: whether they are there by behaviour, by content or by both."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from recommend.candidate_set import CandidateSet
from recommend.explain import RELATED
from recommend.explain_controls import as_asked
from recommend.query import Query
from recommend.rankers.blended import HEADS
from recommend.stage import Explainer, Reason
from recommend.wording import reason

ALIKE = 0.5
"""least overlap of categories and brand at which two items are called alike"""
OFTEN = 0.05
"""least share of baskets, after shrinkage, at which one item is called bought with another"""


@dataclass(frozen=True, kw_only=True)
class SimilarReasons(Explainer):
    """Since a control asked for it; by both; by behaviour; by content; popular, where the item has no vector. Of an
    item that is near by neither, the greater of the two is named."""

    name: str = "similar_reasons"

    def explain(self, query: Query, candidates: CandidateSet) -> Sequence[Reason | None]:
        item_id, asked = query.columns.ids[query.item], as_asked(query, candidates.rows)
        heads, features = candidates.heads, candidates.features
        if candidates.head_names != HEADS or heads is None or features is None:
            popular = reason(query, "popular")
            return [of_control or popular for of_control in asked]
        item = query.columns.items[query.item]
        title = (item.title if item else "") or item_id
        said = functools.cache(partial(_reason, query, item_id, title))
        numbers = zip(asked, heads.tolist(), features.tolist(), strict=True)
        return [of_control or said(*_near_by(*of_heads, *known)) for of_control, of_heads, known in numbers]


def _reason(query: Query, item_id: str, title: str, by_behaviour: bool, by_content: bool) -> Reason:
    """The reason of an item that is near to the item of this id and title."""
    if by_behaviour and by_content:
        return reason(query, "similar_by_both", item_id, title=title)
    if by_behaviour:
        return reason(query, "similar_by_behaviour", item_id, title=title)
    return reason(query, "similar_by_content", item_id, title=title)


def _near_by(behaviour: float, content: float, learned: float, confidence: float) -> tuple[bool, bool]:
    """Whether one item is near by behaviour, and whether by content, of the heads and the features of `Blended`: at
    least one of the two."""
    by_content = content >= (ALIKE if learned else RELATED)
    by_behaviour = (learned and behaviour >= RELATED) or confidence >= OFTEN
    if not by_behaviour and not by_content:
        by_behaviour = bool(learned) and behaviour >= content
        by_content = not by_behaviour
    return bool(by_behaviour), by_content
