"""The body of a page of rows, and the pictures in it. A server makes it, and so does a replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msgspec import UNSET, Struct, UnsetType

from operators.shown import ROW
from recommend.page import Page, PageRow
from recommend.page_rows import Title
from recommend.pictures import STEP, Pictures, with_pictures
from recommend.query import Query
from recommend.slots import seed_of
from recommend.trace import StageTrace
from serving.answers import FeedItem, Filtered, feed_items, trace_of
from serving.bodies import Around
from serving.hydrate import Freshness

SURFACE = "page"
"""of answers; impressions have ROW and the algorithm of the row"""


class RowAnswer(Struct, frozen=True, kw_only=True):
    """One row. `request_id` and `surface` are those of its impression: an event that names the request_id is attributed
    to this row. `anchor` is the item that the row is about, where there is one. `trace` is there with explain=full."""

    row: int
    request_id: str
    surface: str
    algorithm: str
    title: Title
    anchor: str | None
    value: float
    items: list[FeedItem]
    trace: list[StageTrace] | UnsetType = UNSET


class PageAnswer(Struct, frozen=True, kw_only=True):
    """Rows in order; no item is in two of them. `degraded` names the steps of which a stage failed in any row and, as
    `row:ALGORITHM`, rows that are left out since they failed."""

    request_id: str
    surface: str
    user_id: str
    rows: list[RowAnswer]
    unknown_items: list[str]
    model_version: str | None
    variant: str
    freshness: Freshness
    degraded: list[str]
    timings_ms: dict[str, float]
    filter: Filtered | UnsetType = UNSET


def page_body(
    around: Around,
    query: Query,
    page: Page,
    chosen: Sequence[Pictures],
    size: tuple[int, int],
    traces: Sequence[Sequence[StageTrace]] | None = None,
) -> PageAnswer:
    """The body of a page that was asked for with a `size`, rows and items of each; with other `traces` than those of
    its rows where they are given."""
    assert around.user_id is not None
    assert around.freshness is not None
    shown = [
        row_of(row, number, around.request_id, of, None if traces is None else list(traces[number]))
        for number, (row, of) in enumerate(zip(page.rows, chosen, strict=True))
    ]
    return PageAnswer(
        request_id=around.request_id, surface=around.surface, user_id=around.user_id, rows=shown,
        unknown_items=around.unknown_items, model_version=around.model_version, variant=around.variant,
        freshness=around.freshness, degraded=([] if around.hydrated else ["hydrate"]) + page.degraded,
        timings_ms=around.timings_ms, filter=UNSET if query.filter is None else filtered(page, query.n_allowed, size),
    )  # fmt: skip


def id_of_row(request_id: str, number: int) -> str:
    """The request id of a row's own impression."""
    return f"{request_id}-{number}"


def page_with_pictures(
    page: Page, request_id: str, is_logged: bool, failed: Sequence[str | None] | None = None
) -> tuple[Page, list[Pictures]]:
    """The page with the choice of pictures in its rows' traces, and the pictures of each row; `failed` has for each row
    why an earlier choice of the same page has failed, None where it has not."""
    rows, chosen = [], []
    for number, row in enumerate(page.rows):
        seed = seed_of(id_of_row(request_id, number), is_logged)
        answer, of_row = with_pictures(row.answer, seed, failed[number] if failed else None)
        rows.append(replace(row, answer=answer))
        chosen.append(of_row)
    more = [STEP] if any(each.failed is not None for each in chosen) and STEP not in page.degraded else []
    return replace(page, rows=rows, degraded=page.degraded + more), chosen


def row_of(
    row: PageRow, number: int, request_id: str, chosen: Pictures, trace: list[StageTrace] | None = None
) -> RowAnswer:
    """The answer's row at place `number`, with another `trace` than its own where one is given."""
    anchor = row.answer.query.columns.ids[row.plan.anchor] if row.plan.anchor >= 0 else None
    return RowAnswer(
        row=number, request_id=id_of_row(request_id, number), surface=ROW + row.kind.name,
        algorithm=row.kind.name, title=row.plan.title, anchor=anchor, value=round(row.value, 5),
        items=feed_items(row.answer, chosen), trace=trace_of(row.answer) if trace is None else trace,
    )  # fmt: skip


def filtered(page: Page, matching: int, size: tuple[int, int]) -> Filtered:
    """What the request's filter left of a page of this size."""
    rows, per_row = size
    full = len(page.rows) == rows and all(len(row.answer.candidates) == per_row for row in page.rows)
    return Filtered(matching, not full)
