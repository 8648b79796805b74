"""GET /v1/users/{id}/page: a page of rows for a person, over one hydration."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from recommend import page as pages
from recommend.page import Page
from recommend.pictures import Pictures
from recommend.surfaces import home
from schemas.events import Impression
from serving import parameters
from serving.afterwards import Afterwards
from serving.bodies import Around
from serving.endpoint import REGION, USER_ID, Endpoint
from serving.feeds import observe
from serving.hydrate import Person
from serving.page_answers import SURFACE, PageAnswer, RowAnswer, page_body, page_with_pictures
from serving.parameters import Whole
from serving.personal import is_logged, read_others, read_person
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
        request_id = secrets.token_hex(12)
        shows = is_logged(request, requested, person)
        with services.recorder.recording(request_id, person) as recording:
            query = requested.query(
                user=person.features, others=others.favourites, n=per_row, region=asked["region"] or "",
                device=asked["device"] or "", pairs=person.pairs, user_id=user_id,
            )  # fmt: skip
            recording.before(query)
            begun = pages.begin(variant.pipeline, query, rows, per_row, trace=recording.new_trace)
            recording.between_page(begun)
            pairs_ms = 0.0
            if wanted := begun.wanted_pairs():
                asked_at = time.perf_counter()
                await person.pairs.prefetch(wanted)
                pairs_ms = (time.perf_counter() - asked_at) * 1000
            page = pages.finish(variant.pipeline, begun)
            page, chosen = page_with_pictures(page, request_id, shows)
            ended = time.perf_counter()
            timings = {
                "hydrate": round((hydrated - started) * 1000 + pairs_ms, 3),
                "rows": round((ended - hydrated) * 1000 - pairs_ms, 3),
                "total": round((ended - started) * 1000, 3),
            }
            around = Around(
                kind="page", request_id=request_id, surface=SURFACE, unknown_items=requested.unknown, next=None,
                model_version=variant.version, variant=variant.name, timings_ms=timings, user_id=user_id,
                freshness=person.freshness,
                hydrated=not (person.degraded or person.pairs.degraded or others.degraded),
            )  # fmt: skip
            answer = page_body(around, query, page, chosen, (rows, per_row))
            response = document(answer)
            recording.take_page(around, begun, page, chosen, shows, response.body, others.people)

        def note() -> None:
            self._observe(page, timings, answer.degraded)
            services.metrics.lag.observe(person.freshness.lag_ms / 1000)
            if shows:
                self._log(requested, person, page, answer.rows, chosen, bool(answer.degraded))

        response.background = Afterwards(note)
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
