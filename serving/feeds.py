"""The surfaces over HTTP: a person's feed, items like an item, and what is trending."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from recommend.pictures import with_pictures
from recommend.pipeline import Answer
from recommend.query import STRANGER
from recommend.slots import seed_of
from recommend.surface import Surface
from recommend.surfaces import PERSONAL, home, onboarding, similar, trending
from serving import parameters
from serving.afterwards import Afterwards
from serving.answers import FeedAnswer, Related
from serving.bodies import body, degraded_of
from serving.endpoint import FOR_USER, ITEM_ID, REGION, USER_ID, Endpoint
from serving.features import PersonFeatures
from serving.hydrate import Person
from serving.parameters import Parameter
from serving.personal import (
    answer_to,
    impression,
    is_explored,
    is_logged,
    read_others,
    read_person,
)
from serving.problems import NotFound, document
from serving.request_parameters import (
    AFTER,
    COMMON,
    DEVICE,
    TIMEZONE,
    explained,
    how_many,
    how_many_of,
    length_of,
    which_of,
)
from serving.requested import Requested, Requests
from serving.services import Services
from serving.trends import TRENDING_BY


def feed_parameters(surfaces: Mapping[str, Surface]) -> tuple[Parameter, ...]:
    """The parameters of the feed, which serves these surfaces."""
    return (
        USER_ID, which_of(surfaces, home.name), how_many_of(surfaces), REGION, DEVICE, TIMEZONE, AFTER,
        explained("reason", ("none", "reason", "full", "events")), *COMMON,
    )  # fmt: skip


FEED = feed_parameters(PERSONAL)
SIMILAR = (ITEM_ID, FOR_USER, AFTER, how_many(similar), explained("reason"), *COMMON)
TRENDING = (
    TRENDING_BY,
    REGION,
    Parameter(name="category", doc="only items of this category"),
    FOR_USER,
    AFTER,
    how_many(trending),
    explained("none"),
    *COMMON,
)
ONBOARDING = (
    REGION,
    Parameter(name="category", doc="only items of this category"),
    FOR_USER,
    AFTER,
    how_many(onboarding),
    explained("none"),
    *COMMON,
)


class Feeds:
    """The endpoints that recommend."""

    def __init__(self, services: Services, requests: Requests) -> None:
        self._services = services
        self._requests = requests
        self._features = PersonFeatures(services)
        self._feed = feed_parameters(services.personal)

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/users/{id}/feed", name="feed", summary="A person's feed",
                handler=self.feed, parameters=self._feed, answer=FeedAnswer, problems=(403, 422),
            ),
            *self._features.endpoints(),
            Endpoint(
                method="GET", path="/v1/items/{id}/similar", name="similar", summary="Items like an item",
                handler=self.similar, parameters=SIMILAR, answer=Related, problems=(403, 404, 422),
            ),
            Endpoint(
                method="GET", path="/v1/trending", name="trending", summary="What is popular now, or gains fast",
                handler=self.trending, parameters=TRENDING, answer=Related, problems=(403, 422),
            ),
            Endpoint(
                method="GET", path="/v1/onboarding", name="onboarding", summary="Items to ask a new person about",
                handler=self.onboarding, parameters=ONBOARDING, answer=Related, problems=(403, 422),
            ),
        ]  # fmt: skip

    async def feed(self, request: Request) -> Response:
        """Hydrate, recommend, respond; the list shown is logged on the side."""
        started = time.perf_counter()
        services = self._services
        asked = parameters.read(request, self._feed)
        user_id, surface = asked["id"], services.personal[asked["surface"]]
        n = length_of(surface, asked["n"])
        requested = self._requests.check(asked, surface, self._feed, user_id)
        person = await read_person(services, requested, user_id, asked["after"])
        others = await read_others(services, surface.reads, user_id, person, requested.at)
        hydrated = time.perf_counter()
        request_id = secrets.token_hex(12)
        # A HEAD shows nobody a list. What is not logged is no place to explore: nothing would be learned from it.
        shows = is_logged(request, requested, person)
        with services.recorder.recording(request_id, person) as recording:
            query = requested.query(
                user=person.features, others=others.favourites, n=n, region=asked["region"] or "",
                device=asked["device"] or "", timezone=asked["timezone"] or "", pairs=person.pairs, user_id=user_id,
                seed=seed_of(request_id, shows),
            )  # fmt: skip
            found = await answer_to(person, requested, query, (hydrated - started) * 1000, others.degraded, recording)
            answer, chosen = with_pictures(found.answer, query.seed)
            found = found._replace(answer=answer)
            timings = timings_of(answer, started, found.hydrate_ms)
            around = requested.around("feed", answer, request_id, timings, user_id, person, found.hydrated)
            response = document(body(around, answer, chosen=chosen))
            recording.take(around, answer, response.body, chosen, others.people)

        def note() -> None:
            observe(services, surface, answer, timings, found.degraded)
            services.metrics.lag.observe(person.freshness.lag_ms / 1000)
            if answer.item_ids and shows:
                services.log_shown(impression(request_id, user_id, requested, answer, chosen, found))

        response.background = Afterwards(note)
        return response

    async def similar(self, request: Request) -> Response:
        """The item's nearest neighbours that are available."""
        asked = parameters.read(request, SIMILAR)
        surface = self._services.named[similar.name]
        requested = self._requests.check(asked, surface, SIMILAR, asked["user_id"] or "")
        return await self._related(request, requested, item=row_of(self._services, asked["id"]))

    async def trending(self, request: Request) -> Response:
        """What is popular now, or gains fast: everywhere or in a region, of all categories or of one."""
        asked = parameters.read(request, TRENDING)
        surface = self._services.trending_by[asked["by"]]
        requested = self._requests.check(asked, surface, TRENDING, asked["user_id"] or "")
        return await self._related(request, requested, region=asked["region"] or "", category=asked["category"] or "")

    async def onboarding(self, request: Request) -> Response:
        """Items of which an answer tells the most about a person; answers are events like any other."""
        asked = parameters.read(request, ONBOARDING)
        surface = self._services.named[onboarding.name]
        requested = self._requests.check(asked, surface, ONBOARDING, asked["user_id"] or "")
        return await self._related(request, requested, region=asked["region"] or "", category=asked["category"] or "")

    async def _related(self, request: Request, requested: Requested, **about: Any) -> Response:
        person = await person_of(self._services, requested)
        user = person.features if person else STRANGER
        request_id, hydrated = secrets.token_hex(12), not (person and person.degraded)
        user_id, shows = requested.asked["user_id"], is_explored(request, requested, person)
        with self._services.recorder.recording(request_id, person) as recording:
            query = requested.query(
                n=requested.asked["n"], user=user, user_id=user_id or "", seed=seed_of(request_id, shows), **about
            )
            answer = requested.answer(query, recording)
            around = requested.around(
                "related", answer, request_id, answer.timings_ms, user_id, person, hydrated,
                velocity=requested.asked.get("by") == "velocity",
            )  # fmt: skip
            response = document(body(around, answer))
            recording.take(around, answer, response.body)

        def note() -> None:
            observe(self._services, requested.surface, answer, answer.timings_ms, degraded_of(around.hydrated, answer))
            if shows and answer.item_ids:
                self._services.log_shown(impression(request_id, user_id, requested, answer))

        response.background = Afterwards(note)
        return response


async def person_of(services: Services, requested: Requested) -> Person | None:
    """The person whom the parameter `user_id` names; None without it."""
    asked = requested.asked
    if asked["user_id"] is None:
        return None
    return await read_person(services, requested, asked["user_id"], asked["after"])


def row_of(services: Services, item_id: str) -> int:
    """The item's row, the same in all variants. Raises NotFound."""
    row = services.pipeline.columns.row_of.get(item_id)
    if row is None:
        raise NotFound(f"No item has the id {item_id!r}; post it to /v1/items first.")
    return row


def timings_of(answer: Answer, started: float, hydrate_ms: float) -> dict[str, float]:
    """Milliseconds by step, of hydration and in all; `started` as of `time.perf_counter`."""
    total_ms = (time.perf_counter() - started) * 1000
    return {"hydrate": round(hydrate_ms, 3), **answer.timings_ms, "total": round(total_ms, 3)}


def observe(
    services: Services, surface: Surface, answer: Answer, timings: dict[str, float], degraded: list[str]
) -> None:
    """Counts an answer in the metrics."""
    metrics, name = services.metrics, surface.name
    for step, milliseconds in timings.items():
        metrics.of_stage(name, step).observe(milliseconds / 1000)
    for step in degraded:
        metrics.degraded.labels(step).inc()
    if answer.query.drawn is not None:
        metrics.explored.labels(name).inc(len(answer.query.drawn.positions))
    for stage in answer.trace:
        if stage.removed:
            metrics.removed.labels(name, stage.stage).inc(stage.removed)
        if stage.failed is not None:
            metrics.stage_failures.labels(name, stage.stage).inc()
        if stage.over_budget:
            metrics.over_budget.labels(name, stage.stage).inc()
        for effect in stage.rules:
            if effect.failed is not None:
                metrics.rule_failures.labels(effect.rule).inc()
