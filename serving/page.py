"""GET /v1/users/{id}/page: a page of rows for a person, over one hydration."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from operators.shown import ROW
from recommend import page as pages
from recommend.page import Page, PageRow
from recommend.page_rows import Title
from recommend.pictures import STEP, Pictures, with_pictures
from recommend.slots import seed_of
from recommend.surfaces import home
from recommend.trace import StageTrace
from schemas.events import Impression
from serving import parameters
from serving.answers import FeedItem, Filtered, feed_items, trace_of
from serving.endpoint import REGION, USER_ID, Endpoint
from serving.feeds import observe
from serving.hydrate import Freshness, Person
from serving.parameters import Whole
from serving.personal import read_others, read_person
from serving.problems import document
from serving.request_parameters import (
    AFTER,
    AT,
    DEVICE,
    DRY_RUN,
    EXCLUDE,
    FILTER,
    LOCALE_OF_TEXTS,
    OBJECTIVE,
    VARIANT,
    explained,
)
from serving.requested import Requested, Requests
from serving.services import Services

SURFACE = "page"
"""of answers; impressions have ROW and the algorithm of the row"""
PAGE = (
    USER_ID,
    Whole(name="rows", doc="how many rows at most", default=8, most=20),
    Whole(name="per_row", doc="how many items in a row at most", default=10, most=40),
    REGION,
    DEVICE,
    AFTER,
    explained("reason"),
    FILTER,
    EXCLUDE,
    OBJECTIVE,
    LOCALE_OF_TEXTS,
    DRY_RUN,
    AT,
    VARIANT,
)


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


class Pages:
    """One endpoint."""

    def __init__(self, services: Services, requests: Requests) -> None:
        self._services = services
        self._requests = requests

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/users/{id}/page", name="page", summary="A page of rows for a person",
                handler=self.page, parameters=PAGE, answer=PageAnswer, problems=(403, 422),
            )
        ]  # fmt: skip

    async def page(self, request: Request) -> Response:
        """Hydrate once, answer every kind of row, choose and order rows; what is shown is logged on the side, each row
        as a list of its own."""
        started = time.perf_counter()
        services = self._services
        asked = parameters.read(request, PAGE)
        user_id, rows, per_row = asked["id"], asked["rows"], asked["per_row"]
        requested = self._requests.check(asked, home, PAGE, user_id)
        variant = requested.variant
        person = await read_person(services, requested, user_id, asked["after"])
        others = await read_others(services, pages.READS, user_id, person, requested.at)
        hydrated = time.perf_counter()
        query = requested.query(
            user=person.features, others=others.favourites, n=per_row, region=asked["region"] or "",
            device=asked["device"] or "", pairs=person.pairs, user_id=user_id,
        )  # fmt: skip
        begun = pages.begin(variant.pipeline, query, rows, per_row)
        pairs_ms = 0.0
        if wanted := begun.wanted_pairs():
            asked_at = time.perf_counter()
            await person.pairs.prefetch(wanted)
            pairs_ms = (time.perf_counter() - asked_at) * 1000
        page = pages.finish(variant.pipeline, begun)
        request_id = secrets.token_hex(12)
        is_logged = person.consent and requested.is_logged and request.method != "HEAD"
        page, chosen = _with_pictures(page, request_id, is_logged)
        ended = time.perf_counter()
        is_short = person.degraded or person.pairs.degraded or others.degraded
        degraded = (["hydrate"] if is_short else []) + page.degraded
        timings = {
            "hydrate": round((hydrated - started) * 1000 + pairs_ms, 3),
            "rows": round((ended - hydrated) * 1000 - pairs_ms, 3),
            "total": round((ended - started) * 1000, 3),
        }
        shown = [
            row_of(row, number, request_id, of) for number, (row, of) in enumerate(zip(page.rows, chosen, strict=True))
        ]
        response = document(
            PageAnswer(
                request_id=request_id, surface=SURFACE, user_id=user_id, rows=shown, unknown_items=requested.unknown,
                model_version=variant.version, variant=variant.name, freshness=person.freshness, degraded=degraded,
                timings_ms=timings, filter=UNSET if query.filter is None else filtered(page, query.n_allowed, asked),
            )
        )  # fmt: skip
        self._observe(page, timings, degraded)
        services.metrics.lag.observe(person.freshness.lag_ms / 1000)
        if is_logged:
            self._log(requested, person, page, shown, chosen, bool(degraded))
        return response

    def _observe(self, page: Page, timings: dict[str, float], degraded: Sequence[str]) -> None:
        metrics = self._services.metrics
        for step, milliseconds in timings.items():
            metrics.of_stage(SURFACE, step).observe(milliseconds / 1000)
        for step in degraded:
            metrics.degraded.labels(step).inc()
        for answer, surface in page.answers:
            observe(self._services, surface, answer, answer.timings_ms, [])

    def _log(
        self,
        requested: Requested,
        person: Person,
        page: Page,
        shown: Sequence[RowAnswer],
        chosen: Sequence[Pictures],
        degraded: bool,
    ) -> None:
        asked, variant = requested.asked, requested.variant
        for row, entry, of in zip(page.rows, shown, chosen, strict=True):
            # What a page that fell back was made of is nothing to learn from.
            inputs = None if degraded else row.answer.features
            self._services.log_shown(
                Impression(
                    entry.request_id, asked["id"], requested.now, row.answer.item_ids, entry.surface, asked["region"],
                    asked["device"], variant.version, variant.name,
                    features=None if inputs is None else inputs.tobytes(),
                    applied_offset=None if inputs is None else person.row_offset,
                    own_offsets=None if inputs is None else person.own_offsets, **of.logged(),
                )
            )  # fmt: skip


def id_of_row(request_id: str, number: int) -> str:
    """The request id of a row's own impression."""
    return f"{request_id}-{number}"


def _with_pictures(page: Page, request_id: str, is_logged: bool) -> tuple[Page, list[Pictures]]:
    """The page with the choice of pictures in its rows' traces, and the pictures of each row."""
    rows, chosen = [], []
    for number, row in enumerate(page.rows):
        answer, of_row = with_pictures(row.answer, seed_of(id_of_row(request_id, number)) if is_logged else None)
        rows.append(replace(row, answer=answer))
        chosen.append(of_row)
    failed = [STEP] if any(each.failed for each in chosen) and STEP not in page.degraded else []
    return replace(page, rows=rows, degraded=page.degraded + failed), chosen


def row_of(row: PageRow, number: int, request_id: str, chosen: Pictures) -> RowAnswer:
    """The answer's row at place `number`."""
    anchor = row.answer.query.columns.ids[row.plan.anchor] if row.plan.anchor >= 0 else None
    return RowAnswer(
        row=number, request_id=id_of_row(request_id, number), surface=ROW + row.kind.name,
        algorithm=row.kind.name, title=row.plan.title, anchor=anchor, value=round(row.value, 5),
        items=feed_items(row.answer, chosen), trace=trace_of(row.answer),
    )  # fmt: skip


def filtered(page: Page, matching: int, asked: dict[str, Any]) -> Filtered:
    """What the request's filter left."""
    full = len(page.rows) == asked["rows"] and all(len(row.answer.candidates) == asked["per_row"] for row in page.rows)
    return Filtered(matching, not full)
