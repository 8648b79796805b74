"""Reasons: each says what brought the item into the feed, or says less."""

from __future__ import annotations

import numpy as np

from recommend.query import Query, Reason, Source
from recommend.rerank import is_new
from recommend.retrievers import RECENTS

VERBS = {
    "view": "viewed", "click": "clicked", "play": "watched", "share": "shared", "add_to_cart": "put in your cart",
    "purchase": "bought", "like": "liked", "rating": "rated",
}  # fmt: skip
RELATED = 0.2
"""least cosine at which one item is called the reason for another"""
LOVED = 0.05
"""least share of a person's attention at which a category is called liked"""

PERSONAL = Source.NEAREST | Source.SIMILAR
POPULAR = Reason("popular", "Popular now")
POPULAR_IN_REGION = Reason("popular_in_region", "Popular in your area")


def explain(query: Query) -> None:
    """One reason for each item of the feed, in order."""
    rows, sources, liked = query.rows, query.sources, _liked(query)
    found = zip(
        rows.tolist(),
        _anchors(query),
        is_new(query.columns.created_at[rows], query.request.at).tolist(),
        (sources & PERSONAL > 0).tolist(),
        (sources & Source.REGION > 0).tolist(),
        strict=True,
    )
    query.reasons = [
        _because_item(query, anchor)
        or (_new(query, row) if new else None)
        or (_because_category(query, row, liked) if personal else None)
        or (POPULAR_IN_REGION if regional else POPULAR)
        for row, anchor, new, personal, regional in found
    ]


def _anchors(query: Query) -> list[int]:
    """For each item the place among the anchors of what led to it, or -1.

    The user vector is a weighted sum over recent items, so what an item owes to each of them is the weight times
    the cosine; an item found only as similar to one of the last few owes it to the nearest of those.
    """
    rows, _, pull = query.anchors
    if not len(rows) or query.from_interests:
        return [-1] * len(query.rows)
    cosines = query.vectors(query.rows) @ query.vectors(rows).T
    by_vector = np.argmax(cosines * pull, axis=1)
    by_item = np.argmax(cosines[:, :RECENTS], axis=1)
    found = np.where(query.sources & Source.NEAREST, by_vector, by_item)
    near = cosines[np.arange(len(found)), found] >= RELATED
    personal = (query.sources & PERSONAL) > 0
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


def _because_category(query: Query, row: int, liked: dict[str, float]) -> Reason | None:
    item = query.columns.items[row]
    if item is None:
        return None
    name = max(item.categories, key=lambda c: liked.get(c.casefold(), 0.0), default="")
    if liked.get(name.casefold(), 0.0) < LOVED:
        return None
    return Reason("because_category", f"Because you like {name}")


def _liked(query: Query) -> dict[str, float]:
    """Category (case folded) → share of attention; stated interests where there are no events."""
    user = query.request.user
    if query.from_interests:
        return {name.casefold(): 1.0 for name in user["interests"]}
    pairs = zip(user["category_affinity"], user["category_affinity_scores"], strict=True)
    return {name.casefold(): float(share) for name, share in pairs}
