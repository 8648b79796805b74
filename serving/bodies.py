"""The body of an answer: what is said around the items, and the items. A server makes it, and so does a replay."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from recommend.explain_events import LeftOut
from recommend.pictures import Pictures
from recommend.pipeline import Answer
from recommend.trace import StageTrace
from serving.answers import (
    FeedAnswer,
    RankAnswer,
    Related,
    SurfaceAnswer,
    TogetherAnswer,
    feed_items,
    filtered,
    minimum,
    ranked_items,
    related_items,
    trace_of,
)
from serving.hydrate import Freshness

Kind = Literal["feed", "related", "together", "rank", "again", "page"]


class Around(Struct, frozen=True, kw_only=True):
    """What an answer says that does not follow from its items: who asked for what, and what was measured."""

    kind: Kind
    request_id: str
    surface: str
    unknown_items: list[str]
    next: str | None
    model_version: str | None
    variant: str
    timings_ms: dict[str, float]
    user_id: str | None = None
    freshness: Freshness | None = None
    hydrated: bool = True
    """whether the person's features and pairs were read, where there is a person"""
    velocity: bool = False
    """whether items have their velocity"""


def degraded_of(hydrated: bool, answer: Answer) -> list[str]:
    """The steps of which a stage failed; hydration is the first of them."""
    return ([] if hydrated else ["hydrate"]) + answer.degraded


def body(
    around: Around, answer: Answer, trace: list[StageTrace] | None = None, chosen: Pictures | None = None
) -> SurfaceAnswer:
    """The body, with another `trace` than the answer's where one is given, and with the pictures that were chosen."""
    left_out: LeftOut | UnsetType = answer.moved.left_out if answer.moved else UNSET
    shared: dict[str, Any] = {
        "request_id": around.request_id,
        "surface": around.surface,
        "unknown_items": around.unknown_items,
        "next": around.next,
        "model_version": around.model_version,
        "variant": around.variant,
        "degraded": degraded_of(around.hydrated, answer),
        "timings_ms": around.timings_ms,
        "trace": trace_of(answer) if trace is None else trace,
        "filter": filtered(answer),
        "min_score": minimum(answer),
        "left_out": left_out,
    }
    if around.kind == "related":
        return Related(**shared, items=related_items(answer, around.velocity))
    if around.kind == "feed":
        assert around.user_id is not None
        assert around.freshness is not None
        return FeedAnswer(
            **shared, user_id=around.user_id, items=feed_items(answer, chosen), freshness=around.freshness
        )  # fmt: skip
    person: dict[str, Any] = {"user_id": around.user_id, "freshness": around.freshness}
    if around.kind == "rank":
        return RankAnswer(**shared, items=ranked_items(answer), **person)
    return TogetherAnswer(**shared, items=feed_items(answer), **person)
