"""Reasons of items like an item: whether they are there by behaviour, by content or by both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        behaviour, content = heads.T
        learned, confidence = features[:, 0] > 0, features[:, 1]
        by_behaviour = (learned & (behaviour >= RELATED)) | (confidence >= OFTEN)
        by_content = content >= np.where(learned, ALIKE, RELATED)
        by_behaviour |= ~by_content & learned & (behaviour >= content)
        item = query.columns.items[query.item]
        title = (item.title if item else "") or item_id
        by = {
            (True, True): reason(query, "similar_by_both", item_id, title=title),
            (True, False): reason(query, "similar_by_behaviour", item_id, title=title),
            (False, True): reason(query, "similar_by_content", item_id, title=title),
        }
        by[False, False] = by[False, True]
        pairs = zip(by_behaviour.tolist(), by_content.tolist(), strict=True)
        return [of_control or by[each] for of_control, each in zip(asked, pairs, strict=True)]
