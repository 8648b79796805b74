"""Reasons: each states what brought the item into the answer, as specifically as the features support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommend.candidate_set import CandidateSet
from recommend.contextual import phrase
from recommend.explain_controls import as_asked
from recommend.query import Query
from recommend.rerankers.recency import is_new
from recommend.retrievers import AT_TIME, ON_DEVICE, RECENTS, PopularInContext
from recommend.stage import Explainer, Mask, Reason

VERBS = {
    "view": "viewed", "click": "clicked", "play": "watched", "share": "shared", "add_to_cart": "put in your cart",
    "purchase": "bought", "like": "liked", "rating": "rated",
}  # fmt: skip
RELATED = 0.2
"""least cosine at which one item is called the reason for another"""
LOVED = 0.05
"""least share of a person's attention at which a category is called liked"""

POPULAR = Reason("popular", "Popular now")
POPULAR_IN_REGION = Reason("popular_in_region", "Popular in your area")


@dataclass(frozen=True, kw_only=True)
class Reasons(Explainer):
    """One reason for each item: since a control asked for it, because of an item, new, because of a category, popular
    in the person's context or region, or popular."""

    name: str = "reasons"
    by_vector: tuple[str, ...] = ("nearest", "new")
    """retrievers that search for the user vector"""
    by_item: tuple[str, ...] = ("similar",)
    """retrievers that search for the last few items"""
    by_region: tuple[str, ...] = ("popular_in_region",)
    by_context: tuple[PopularInContext, ...] = (AT_TIME, ON_DEVICE)

    def explain(self, query: Query, candidates: CandidateSet) -> Sequence[Reason | None]:
        rows = candidates.rows
        by_vector = candidates.found_by(*self.by_vector)
        personal = by_vector | candidates.found_by(*self.by_item)
        found = zip(
            rows.tolist(),
            as_asked(query, rows),
            _anchors(query, candidates, by_vector, personal),
            is_new(query.columns.created_at.take(rows), query.at).tolist(),
            personal.tolist(),
            self._in_context(query, candidates),
            candidates.found_by(*self.by_region).tolist(),
            strict=True,
        )
        return [
            of_control
            or _because_item(query, anchor)
            or (_new(query, row) if new else None)
            or (_because_category(query, row) if is_personal else None)
            or in_context
            or (POPULAR_IN_REGION if regional else POPULAR)
            for row, of_control, anchor, new, is_personal, in_context, regional in found
        ]

    def _in_context(self, query: Query, candidates: CandidateSet) -> list[Reason | None]:
        """For each item the first context in which it was found to be popular."""
        found: list[Reason | None] = [None] * len(candidates)
        for retriever in reversed(self.by_context):
            context = retriever.context(query)
            if context is not None:
                reason = Reason(retriever.name, phrase(context))
                for position in np.flatnonzero(candidates.found_by(retriever.name)).tolist():
                    found[position] = reason
        return found


def _anchors(query: Query, candidates: CandidateSet, by_vector: Mask, personal: Mask) -> list[int]:
    """For each item the position among the anchors of the one that led to it, or -1.

    The user vector is a weighted sum over recent items, so an item's share in each of them is the weight times the
    cosine; an item found only as similar to one of the last few is attributed to the nearest of those.
    """
    rows, _, pull = query.anchors
    if not len(rows) or query.from_interests or not personal.any():
        return [-1] * len(candidates)
    cosines = query.vectors(candidates.rows) @ query.anchor_vectors.T
    found = np.where(by_vector, np.argmax(cosines * pull, axis=1), np.argmax(cosines[:, :RECENTS], axis=1))
    near = cosines[np.arange(len(found)), found] >= RELATED
    return np.where(near & personal, found, -1).tolist()


def _because_item(query: Query, anchor: int) -> Reason | None:
    if anchor < 0:
        return None
    row = int(query.anchors.rows[anchor])
    item, item_id = query.columns.items[row], query.columns.ids[row]
    title = (item.title if item else "") or item_id
    return Reason("because_item", f"Because you {VERBS[query.anchors.kinds[anchor]]} {title}", item_id)


def _new(query: Query, row: int) -> Reason:
    item = query.columns.items[row]
    return Reason("new", f"New in {item.categories[0]}" if item and item.categories else "New")


def _because_category(query: Query, row: int) -> Reason | None:
    item, liked = query.columns.items[row], query.liked
    if item is None:
        return None
    name = max(item.categories, key=lambda c: liked.get(c.casefold(), 0.0), default="")
    if liked.get(name.casefold(), 0.0) < LOVED:
        return None
    return Reason("because_category", f"Because you like {name}")
