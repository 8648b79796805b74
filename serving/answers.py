"""The JSON answers of surfaces, made from the pipeline's answers."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from operators.time import label
from recommend.pipeline import Answer, Detail
from recommend.rankers.popularity import POPULARITY
from recommend.stage import Reason
from recommend.trace import StageTrace
from schemas.events import Item
from serving.hydrate import Freshness

SCORE = (
    "similar: the cosine of the two items, -1 to 1, or the score of trending where no model has a vector of the item. "
    "trending: how many events the item has now, each worth half as much after every "
    f"{label(POPULARITY.half_life)} and weighed by its type: "
    + ", ".join(f"{name} {weight:g}" for name, weight in POPULARITY.weights.items())
)


class Filtered(Struct, frozen=True):
    """What the request's filter left."""

    matching: int
    """available items that pass it"""
    fewer: bool
    """whether there are fewer items in the answer than were asked for"""


class FeedItem(Struct, frozen=True):
    """One item of a feed, rank counted from 0. `detail` is there with explain=full; `sponsored`, the label to show, for
    an item in a sponsored position."""

    item_id: str
    score: float
    rank: int
    item: Item | None
    reason: Reason | UnsetType = UNSET
    detail: Detail | UnsetType = UNSET
    sponsored: str | UnsetType = UNSET


class FeedAnswer(Struct, frozen=True):
    """A feed. `degraded` names the steps of which a stage failed; `trace`, there with explain=full, says which and
    why. `filter` is there where the request has one."""

    request_id: str
    user_id: str
    surface: str
    items: list[FeedItem]
    freshness: Freshness
    model_version: str | None
    variant: str
    degraded: list[str]
    timings_ms: dict[str, float]
    trace: list[StageTrace] | UnsetType = UNSET
    filter: Filtered | UnsetType = UNSET


class RelatedItem(Struct, frozen=True):
    """An item and its score. `detail` and `sponsored` as in a feed."""

    item_id: str
    score: Annotated[float, Meta(description=SCORE)]
    rank: int
    item: Item | None
    detail: Detail | UnsetType = UNSET
    sponsored: str | UnsetType = UNSET


class Related(Struct, frozen=True):
    """Items, best first. `degraded`, `trace` and `filter` as in a feed."""

    items: list[RelatedItem]
    model_version: str | None
    variant: str
    degraded: list[str]
    trace: list[StageTrace] | UnsetType = UNSET
    filter: Filtered | UnsetType = UNSET


def feed_items(answer: Answer) -> list[FeedItem]:
    """The items of a feed."""
    ids, items, full = answer.query.columns.ids, answer.query.columns.items, answer.query.explain == "full"
    shown = zip(answer.candidates.rows.tolist(), answer.scores, answer.reasons, strict=True)
    return [
        FeedItem(
            ids[row], round(score, 5), rank, items[row], reason or UNSET, answer.detail(rank) if full else UNSET,
            sponsored_of(answer, row),
        )
        for rank, (row, score, reason) in enumerate(shown)
    ]  # fmt: skip


def related(answer: Answer, variant: str) -> Related:
    """The answer of a surface that is not personal."""
    query = answer.query
    ids, items, full = query.columns.ids, query.columns.items, query.explain == "full"
    return Related(
        [
            RelatedItem(
                ids[row],
                round(score, 5),
                rank,
                items[row],
                answer.detail(rank) if full else UNSET,
                sponsored_of(answer, row),
            )
            for rank, (row, score) in enumerate(zip(answer.candidates.rows.tolist(), answer.scores, strict=True))
        ],
        query.model.version if query.model else None,
        variant,
        answer.degraded,
        trace_of(answer),
        filtered(answer),
    )


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


def trace_of(answer: Answer) -> list[StageTrace] | UnsetType:
    """The trace, where the request has explain=full."""
    return answer.trace if answer.query.explain == "full" else UNSET
