"""The surfaces over HTTP: a person's feed, items like an item, and what is trending."""

from __future__ import annotations

import secrets
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from recommend.filtering import FilterError, ItemFilter
from recommend.pipeline import Answer, Pipeline
from recommend.surface import Surface
from recommend.surfaces import PERSONAL, home, similar, trending
from schemas.clock import now_ms
from schemas.events import Impression
from serving import parameters
from serving.answers import FeedAnswer, Related, feed_items, filtered, related, trace_of
from serving.endpoint import ITEM_ID, REGION, USER_ID, Endpoint
from serving.features import PersonFeatures
from serving.parameters import After, Choice, FilterText, Fraction, Parameter, Whole
from serving.problems import Fault, Forbidden, NotFound, Unprocessable, document
from serving.services import Services
from serving.settings import WHERE_SHOWN
from serving.tokens import MAX_LENGTH
from serving.variants import Variant

VARIANT = Parameter(
    name="variant",
    doc="the model to answer with, as `bundles/traffic.json` names it, instead of the one that the person's id falls "
    "to; only where the server has an API key",
)


def how_many(surface: Surface) -> Parameter:
    """The parameter `n` of a surface."""
    return Whole(name="n", doc="how many items", default=surface.paging.default, most=surface.paging.most)


def explained(default: str) -> Parameter:
    """The parameter `explain`."""
    doc = "reason: why each item is there; full: also each item's sources, features and scores, and what each stage did"
    return Choice(name="explain", doc=doc, default=default, among=("none", "reason", "full"))


FILTER = FilterText(
    name="filter",
    doc='only items that pass it: a condition in a subset of CEL, such as `item.price < 20 && !("horror" in '
    "item.categories) && item.year >= user.birth_year`",
)
DIVERSITY = Fraction(
    name="diversity",
    doc="0: by relevance alone; 1: as diverse as the best candidates allow. Left out: what the surface has",
)
FEED = (
    USER_ID,
    Choice(name="surface", doc="which of the personal surfaces", default=home.name, among=tuple(PERSONAL)),
    how_many(home),
    REGION,
    Parameter(name="device", doc="what it is shown on"),
    After(name="after", doc="the token of a receipt: its events are in the feed", longest=MAX_LENGTH),
    FILTER,
    DIVERSITY,
    explained("reason"),
    VARIANT,
)
SIMILAR = (ITEM_ID, how_many(similar), FILTER, DIVERSITY, explained("none"), VARIANT)
TRENDING = (
    REGION,
    Parameter(name="category", doc="only items of this category"),
    how_many(trending),
    FILTER,
    DIVERSITY,
    explained("none"),
    VARIANT,
)


class Feeds:
    """The endpoints that recommend."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._features = PersonFeatures(services)

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/users/{id}/feed", name="feed", summary="A person's feed",
                handler=self.feed, parameters=FEED, answer=FeedAnswer, problems=(403, 422),
            ),
            *self._features.endpoints(),
            Endpoint(
                method="GET", path="/v1/items/{id}/similar", name="similar", summary="Items like an item",
                handler=self.similar, parameters=SIMILAR, answer=Related, problems=(403, 404, 422),
            ),
            Endpoint(
                method="GET", path="/v1/trending", name="trending", summary="What is popular now",
                handler=self.trending, parameters=TRENDING, answer=Related, problems=(403, 422),
            ),
        ]  # fmt: skip

    async def feed(self, request: Request) -> Response:
        """Hydrate, recommend, respond; the list shown is logged on the side."""
        started = time.perf_counter()
        services = self._services
        asked = parameters.read(request, FEED)
        user_id, surface = asked["id"], PERSONAL[asked["surface"]]
        variant = variant_of(services, asked, user_id)
        chosen = filter_of(services, asked["filter"], surface, variant.pipeline)
        rules = variant.pipeline.rules()
        person = await services.hydrator.person(
            user_id,
            asked["after"],
            variant.space(surface.name),
            (chosen is not None and chosen.of_attributes is not None) or rules.reads_attributes,
        )
        hydrated = time.perf_counter()
        pipeline = variant.pipeline
        at = now_ms()
        query = pipeline.query(
            at=at, user=person.features, n=asked["n"], region=asked["region"] or "", device=asked["device"] or "",
            pairs=person.pairs, explain=asked["explain"], filter=chosen, user_id=user_id,
            rules=rules, diversity=asked["diversity"],
        )  # fmt: skip
        begun = pipeline.begin(surface, query)
        pairs_ms = 0.0
        if wanted := begun.wanted_pairs():
            asked_at = time.perf_counter()
            await person.pairs.prefetch(wanted)
            pairs_ms = (time.perf_counter() - asked_at) * 1000
        answer = pipeline.finish(begun)
        degraded = (["hydrate"] if person.degraded or person.pairs.degraded else []) + answer.degraded
        timings = timings_of(answer, started, (hydrated - started) * 1000 + pairs_ms)
        request_id = secrets.token_hex(12)
        response = document(
            FeedAnswer(
                request_id, user_id, surface.name, feed_items(answer), person.freshness, variant.version, variant.name,
                degraded, timings, trace_of(answer), filtered(answer),
            )
        )  # fmt: skip
        observe(services, surface, answer, timings, degraded)
        services.metrics.lag.observe(person.freshness.lag_ms / 1000)
        shown = answer.item_ids
        if shown and person.consent and request.method != "HEAD":  # a HEAD shows nobody a list
            # What a feed that fell back was made of is nothing to learn from.
            inputs = None if degraded else answer.features
            services.impressions.put(
                Impression(
                    request_id, user_id, at, shown, surface.name, asked["region"], asked["device"],
                    variant.version, variant.name,
                    features=None if inputs is None else inputs.tobytes(),
                    applied_offset=None if inputs is None else person.row_offset,
                    own_offsets=None if inputs is None else person.own_offsets,
                )
            )  # fmt: skip
        return response

    async def similar(self, request: Request) -> Response:
        """The item's nearest neighbours that are available."""
        asked = parameters.read(request, SIMILAR)
        return self._related(similar, asked, item=row_of(self._services, asked["id"]))

    async def trending(self, request: Request) -> Response:
        """What is popular now: everywhere or in a region, of all categories or of one."""
        asked = parameters.read(request, TRENDING)
        return self._related(trending, asked, region=asked["region"] or "", category=asked["category"] or "")

    def _related(self, surface: Surface, asked: dict[str, Any], **about: Any) -> Response:
        variant = variant_of(self._services, asked)
        pipeline = variant.pipeline
        chosen = filter_of(self._services, asked["filter"], surface, pipeline)
        query = pipeline.query(
            at=now_ms(), n=asked["n"], explain=asked["explain"], filter=chosen, diversity=asked["diversity"], **about
        )
        answer = pipeline.recommend(surface, query)
        observe(self._services, surface, answer, answer.timings_ms, answer.degraded)
        return document(related(answer, variant.name))


def variant_of(services: Services, asked: dict[str, Any], user_id: str = "") -> Variant:
    """The variant that a request names, or that the person falls to."""
    return services.variants.chosen(asked["variant"], user_id, services.settings.api_key is not None)


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
    for stage in answer.trace:
        if stage.removed:
            metrics.removed.labels(name, stage.stage).inc(stage.removed)
        if stage.failed is not None:
            metrics.stage_failures.labels(name, stage.stage).inc()
        for effect in stage.rules:
            if effect.failed is not None:
                metrics.rule_failures.labels(effect.rule).inc()
        if stage.over_budget:
            metrics.over_budget.labels(name, stage.stage).inc()


def filter_of(services: Services, text: str | None, surface: Surface, pipeline: Pipeline) -> ItemFilter | None:
    """The request's filter. Raises Unprocessable where it cannot be read, does not fit the items, or reads a person on
    a surface that is not for one, and Forbidden where it reads attributes of profiles that the server does not show."""
    if text is None:
        return None
    try:
        found = pipeline.filters.compile(text)
        if found.of_user is not None and not surface.personal:
            raise FilterError(found.of_user, f"{surface.name} is not for one person: leave user out")
    except FilterError as error:
        raise Unprocessable(f"filter: {error}", [Fault("filter", str(error))]) from None
    if found.of_attributes is not None and not services.settings.shows_profiles:
        at = found.of_attributes + 1
        raise Forbidden(f"filter: character {at}: attributes of profiles can be read by filters only {WHERE_SHOWN}.")
    return found
