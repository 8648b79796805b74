"""The JSON answers of surfaces, made from the pipeline's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from operators.time import label
from recommend.explain_events import EventEffect, LeftOut
from recommend.paging import MINIMUM
from recommend.pictures import Pictures
from recommend.pipeline import Answer, Detail
from recommend.rankers.popularity import POPULARITY
from recommend.stage import Reason
from recommend.trace import StageTrace
from recommend.velocity import of_items
from schemas.events import Item
from serving.hydrate import Freshness

SCORE = (
    "similar: how alike the two items are, by behaviour and by content, -1 to 1, or the score of trending where no "
    "model has a vector of the item. "
    "trending: how many events the item has now, each worth half as much after every "
    f"{label(POPULARITY.half_life)} and weighed by its type: "
    + ", ".join(f"{name} {weight:g}" for name, weight in POPULARITY.weights.items())
    + ". trending by velocity: how many times its own baseline the item gains events now, at least, with a probability "
    "of 95 %"
)
NEXT = "the cursor of the page that follows, null where nothing is left"
NextPage = Annotated[str | None, Meta(description=NEXT)]
"""the last field of an answer: whoever reads the answer in a terminal has the rest above some 2,000 characters"""
VELOCITY = "how many times its own baseline it gains events now: 1 where it gains as always, or too little is known"


class Filtered(Struct, frozen=True):
    """What the request's filter left."""

    matching: int
    """available items that pass it"""
    fewer: bool
    """whether there are fewer items in the answer than were asked for"""


class Minimum(Struct, frozen=True):
    """What the request's least score left."""

    removed: int
    """candidates whose score is below it"""
    fewer: bool
    """whether there are fewer items in the answer than were asked for"""


class FeedItem(Struct, frozen=True):
    """One item of a feed, rank counted from 0. `detail` is there with explain=full and explain=events, and with the
    latter `events`: those of the person's events that moved the item's score most. `sponsored`, the label to show, is
    there for an item in a sponsored position; `image`, the picture to show, for one with several in
    `attributes.images`."""

    item_id: str
    score: float
    rank: int
    item: Item | None
    reason: Reason | UnsetType = UNSET
    detail: Detail | UnsetType = UNSET
    sponsored: str | UnsetType = UNSET
    image: str | UnsetType = UNSET
    events: list[EventEffect] | UnsetType = UNSET


class SurfaceAnswer(Struct, frozen=True, kw_only=True):
    """What the answers of all surfaces have, besides `next`, which each declares as its last field.

    `unknown_items` are ids of the request that no item has: the answer does without them. `degraded` names the steps
    of which a stage failed; `trace`, there with explain=full, says which and why. `filter` and `min_score` are there
    where the request has them, `left_out` with explain=events.
    """

    request_id: str
    surface: str
    unknown_items: list[str]
    model_version: str | None
    variant: str
    degraded: list[str]
    timings_ms: dict[str, float]
    trace: list[StageTrace] | UnsetType = UNSET
    filter: Filtered | UnsetType = UNSET
    min_score: Minimum | UnsetType = UNSET
    left_out: LeftOut | UnsetType = UNSET


class FeedAnswer(SurfaceAnswer, frozen=True, kw_only=True):
    """A feed."""

    user_id: str
    items: list[FeedItem]
    freshness: Freshness
    next: NextPage


class RelatedItem(Struct, frozen=True):
    """An item and its score. `reason` is there for similar items; `detail` and `sponsored` as in a feed; `velocity` is
    there with by=velocity."""

    item_id: str
    score: Annotated[float, Meta(description=SCORE)]
    rank: int
    item: Item | None
    reason: Reason | UnsetType = UNSET
    detail: Detail | UnsetType = UNSET
    sponsored: str | UnsetType = UNSET
    velocity: Annotated[float, Meta(description=VELOCITY)] | UnsetType = UNSET


class Related(SurfaceAnswer, frozen=True, kw_only=True):
    """Items, best first."""

    items: list[RelatedItem]
    next: NextPage


class TogetherAnswer(SurfaceAnswer, frozen=True, kw_only=True):
    """Items, best first.

    A `score` of 0 says that the item was in no basket with any of the cart: it is there since nothing, or too little,
    was bought together yet, and its reason says why. `freshness` is there where the request names a person.
    """

    items: list[FeedItem]
    user_id: str | None
    freshness: Freshness | None
    next: NextPage


class RankedItem(FeedItem, frozen=True, kw_only=True):
    """An item of the caller's list. `removed_by` names the filters that would have removed it from a feed."""

    removed_by: list[str]


class RankAnswer(SurfaceAnswer, frozen=True, kw_only=True):
    """All items of the caller's list that there are, best first. `freshness` is there where the request names a
    person."""

    items: list[RankedItem]
    user_id: str | None
    freshness: Freshness | None
    next: NextPage


def feed_items(answer: Answer, chosen: Pictures | None = None) -> list[FeedItem]:
    """The items of a feed, with the pictures that were chosen for them."""
    images = chosen.images if chosen else [None] * len(answer.candidates)
    ids, items, full = answer.query.columns.ids, answer.query.columns.items, answer.query.explains_all
    shown = zip(answer.candidates.rows.tolist(), answer.scores, answer.reasons, images, strict=True)
    return [
        FeedItem(
            ids[row], round(score, 5), rank, items[row], reason or UNSET, answer.detail(rank) if full else UNSET,
            sponsored_of(answer, row), image or UNSET, events_of(answer, rank),
        )
        for rank, (row, score, reason, image) in enumerate(shown)
    ]  # fmt: skip


def related_items(answer: Answer, with_velocity: bool = False) -> list[RelatedItem]:
    """The items of a surface that is not personal."""
    query, rows = answer.query, answer.candidates.rows
    ids, items, full = query.columns.ids, query.columns.items, query.explains_all
    times: Sequence[float | UnsetType] = [UNSET] * len(rows)
    if with_velocity:
        times = of_items(query.columns, rows, query.at, query.region).times.round(3).tolist()
    shown = zip(rows.tolist(), answer.scores, answer.reasons, times, strict=True)
    return [
        RelatedItem(
            ids[row],
            round(score, 5),
            rank,
            items[row],
            reason or UNSET,
            answer.detail(rank) if full else UNSET,
            sponsored=sponsored_of(answer, row),
            velocity=velocity,
        )
        for rank, (row, score, reason, velocity) in enumerate(shown)
    ]


def ranked_items(answer: Answer) -> list[RankedItem]:
    """The items of a list of the caller's."""
    query = answer.query
    ids, items, full = query.columns.ids, query.columns.items, query.explains_all
    return [
        RankedItem(
            ids[row], round(score, 5), rank, items[row], UNSET, answer.detail(rank) if full else UNSET,
            events=events_of(answer, rank), removed_by=answer.marks.get(row, []),
        )
        for rank, (row, score) in enumerate(zip(answer.candidates.rows.tolist(), answer.scores, strict=True))
    ]  # fmt: skip


def events_of(answer: Answer, rank: int) -> list[EventEffect] | UnsetType:
    """The events that moved the item, with explain=events."""
    return UNSET if answer.moved is None else answer.moved.effects[rank]


def sponsored_of(answer: Answer, row: int) -> str | UnsetType:
    """The label of an item in a sponsored position."""
    query = answer.query
    mark = query.ruling.marks.get(row) if query.rules.rules else None
    return UNSET if mark is None else mark.label


def filtered(answer: Answer) -> Filtered | UnsetType:
    """What the request's filter left, where it has one."""
    query = answer.query
    if query.filter is None:
        return UNSET
    return Filtered(query.n_allowed, len(answer.candidates) < query.n)


def minimum(answer: Answer) -> Minimum | UnsetType:
    """What the request's least score left, where it has one."""
    query = answer.query
    if query.min_score is None:
        return UNSET
    removed = sum(stage.removed for stage in answer.trace if stage.stage == MINIMUM.name)
    return Minimum(removed, len(answer.candidates) < query.n)


def trace_of(answer: Answer) -> list[StageTrace] | UnsetType:
    """The trace, where the request has explain=full or events."""
    return answer.trace if answer.query.explains_all else UNSET
