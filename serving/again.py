"""The body of `GET /v1/users/{id}/again`: what a person may buy again. A server makes it, and so does a replay."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from operators.time import DAY
from recommend.again import Repurchase, Source, repurchases
from recommend.pipeline import Answer
from schemas.events import Item
from serving.answers import Filtered, filtered, sponsored_of
from serving.bodies import Around, degraded_of
from serving.hydrate import Freshness


class AgainItem(Struct, frozen=True):
    """An item that is due: `elapsed` is the time since the last purchase in intervals, and `score` how near to 1 that
    is. `source` says what the interval was learned from; `sponsored`, the label to show, is there for an item in a
    sponsored position."""

    item_id: str
    rank: int
    score: float
    last_purchase: int
    purchases: int
    interval_days: float
    source: Source
    elapsed: float
    item: Item | None
    sponsored: str | UnsetType = UNSET


class AgainAnswer(Struct, frozen=True, kw_only=True):
    """Items that are due to be bought again, best first."""

    request_id: str
    user_id: str
    items: list[AgainItem]
    unknown_items: list[str]
    freshness: Freshness
    degraded: list[str]
    filter: Filtered | UnsetType = UNSET


def again_body(around: Around, answer: Answer) -> AgainAnswer:
    """The body. What a rule has added that the person never bought has no interval, and is left out."""
    assert around.user_id is not None
    assert around.freshness is not None
    query = answer.query
    known = {each.row: each for each in repurchases(query.user, query.columns, query.at)}
    shown = [(row, known[row]) for row in answer.candidates.rows.tolist() if row in known]
    return AgainAnswer(
        request_id=around.request_id, user_id=around.user_id,
        items=[
            _again_item(rank, each, answer, row)
            for rank, (row, each) in enumerate(shown)
        ],
        unknown_items=around.unknown_items, freshness=around.freshness,
        degraded=degraded_of(around.hydrated, answer), filter=filtered(answer),
    )  # fmt: skip


def _again_item(rank: int, each: Repurchase, answer: Answer, row: int) -> AgainItem:
    """One entry of the answer: the item of the row."""
    columns = answer.query.columns
    return AgainItem(
        columns.ids[row], rank, round(each.score, 5), each.last, each.purchases, round(each.interval / DAY, 3),
        each.source, round(each.elapsed, 3), columns.items[row], sponsored_of(answer, row),
    )  # fmt: skip
