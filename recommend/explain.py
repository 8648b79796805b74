"""Reasons: each states what brought the item into the answer, as specifically as the features support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feature_repo.columns import Rows
from operators.contexts import CONTEXTS
from recommend.candidate_set import CandidateSet
from recommend.explain_controls import as_asked
from recommend.priors import difference_of
from recommend.query import Query
from recommend.rerankers.recency import is_new
from recommend.retrievers import AT_TIME, ON_DEVICE, RECENTS
from recommend.stage import Explainer, Mask, Reason
from recommend.wording import reason

RELATED = 0.2
"""least cosine at which one item is called the reason for another"""
ALIKE = 0.03
"""least difference, as a cosine, between the taste of people with a profile like the person's and everybody's"""
LOVED = 0.05
"""least share of a person's attention at which a category is called liked"""


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

    def explain(self, query: Query, candidates: CandidateSet) -> Sequence[Reason | None]:
        rows = candidates.rows
        by_vector = candidates.found_by(*self.by_vector)
        personal = by_vector | candidates.found_by(*self.by_item)
        anchors = _anchors(query, candidates, by_vector, personal)
        because = {anchor: _because_item(query, anchor) for anchor in set(anchors)}
        found = zip(
            rows.tolist(),
            as_asked(query, rows),
            anchors,
            is_new(query.columns.created_at.take(rows), query.at).tolist(),
            personal.tolist(),
            _in_context(query, candidates),
            candidates.found_by(*self.by_region).tolist(),
            _alike(query, rows).tolist(),
            strict=True,
        )
        return [
            of_control
            or because[anchor]
            or (_new(query, row) if new else None)
            or (_because_category(query, row) if is_personal else None)
            or in_context
            or _popular(query, alike, regional)
            for row, of_control, anchor, new, is_personal, in_context, regional, alike in found
        ]


def _in_context(query: Query, candidates: CandidateSet) -> list[Reason | None]:
    """For each item the first context, of the time and of the device, in which it was found to be popular."""
    found: list[Reason | None] = [None] * len(candidates)
    for retriever in (ON_DEVICE, AT_TIME):
        positions, context = np.flatnonzero(candidates.found_by(retriever.name)), retriever.context(query)
        if context is None or not len(positions):
            continue
        name = CONTEXTS[context]
        if retriever is AT_TIME:
            said = reason(query, "popular_at_time", variant=name)
        else:
            said = reason(query, "popular_on_device", variant=name)
        for position in positions.tolist():
            found[position] = said
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


def _alike(query: Query, rows: Rows) -> Mask:
    """Which of the rows (n,) people with a profile like the person's like more than everybody does, for a person of
    whom nothing but the profile is known."""
    towards = None if len(query.user["recent_items"]) else difference_of(query)
    if towards is None:
        return np.zeros(len(rows), np.bool_)
    return np.asarray(query.vectors(rows) @ towards >= ALIKE)


def _popular(query: Query, alike: bool, regional: bool) -> Reason:
    if alike:
        return reason(query, "popular_with_people_like_you")
    return reason(query, "popular_in_region") if regional else reason(query, "popular")


def _because_item(query: Query, anchor: int) -> Reason | None:
    if anchor < 0:
        return None
    row = int(query.anchors.rows[anchor])
    item, item_id = query.columns.items[row], query.columns.ids[row]
    title = (item.title if item else "") or item_id
    return reason(query, "because_item", item_id, query.anchors.kinds[anchor], title=title)


def _new(query: Query, row: int) -> Reason:
    item = query.columns.items[row]
    if item is None or not item.categories:
        return reason(query, "new")
    return reason(query, "new", variant="category", name=item.categories[0])


def _because_category(query: Query, row: int) -> Reason | None:
    item, liked = query.columns.items[row], query.liked
    if item is None:
        return None
    name = max(item.categories, key=lambda c: liked.get(c.casefold(), 0.0), default="")
    if liked.get(name.casefold(), 0.0) < LOVED:
        return None
    return reason(query, "because_category", name=name)
