"""Reading: a person's feed, items like an item, what is trending, and a person's features."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from feature_repo import views
from feature_repo.columns import Rows
from operators.decay import Popularity
from operators.time import label
from recommend.pipeline import Entry
from recommend.query import FeedRequest, Reason
from schemas.clock import now_ms
from schemas.events import EVENT_TYPES, Impression, Item
from serving import parameters
from serving.endpoint import ITEM_ID, REGION, USER_ID, Endpoint, N
from serving.hydrate import Freshness
from serving.parameters import After, Flag, Parameter
from serving.problems import NotFound, document
from serving.services import Services

VARIANT = "default"
POPULARITY = next(a for a in views.item.aggregations if isinstance(a, Popularity))
SCORE = (
    "similar: the cosine of the two items, -1 to 1, or what trending says where no model knows the item. "
    "trending: how many events the item has now, each worth half as much after every "
    f"{label(POPULARITY.half_life)} and weighed by its type: "
    + ", ".join(f"{name} {weight:g}" for name, weight in POPULARITY.weights.items())
)
WINDOWS = tuple(f.name for f in views.user.fields if f.name.startswith("events_"))


class FeedItem(Struct, frozen=True):
    """One item of a feed, rank counted from 0."""

    item_id: str
    score: float
    rank: int
    item: Item | None
    reason: Reason | UnsetType = UNSET


class FeedAnswer(Struct, frozen=True):
    """A feed. `degraded` names the stages that fell back."""

    request_id: str
    user_id: str
    surface: str
    items: list[FeedItem]
    freshness: Freshness
    model_version: str | None
    variant: str
    degraded: list[str]
    timings_ms: dict[str, float]


class RelatedItem(Struct, frozen=True):
    """An item and how much it counts."""

    item_id: str
    score: Annotated[float, Meta(description=SCORE)]
    rank: int
    item: Item | None


class Related(Struct, frozen=True):
    """Items, best first."""

    items: list[RelatedItem]
    model_version: str | None
    degraded: list[str]


class Session(Struct, frozen=True):
    """The current session; empty when it is over."""

    id: str
    start: int
    length_s: float
    items: int
    counts: dict[str, int]
    categories: list[str]


class Recent(Struct, frozen=True):
    """One of the last interactions."""

    item_id: str
    event_type: str
    timestamp: int
    title: str


class FeaturesAnswer(Struct, frozen=True):
    """The features that drive a person's feed, as people read them."""

    user_id: str
    session: Session
    events: dict[str, dict[str, int]]
    """window → event type → count"""
    categories: dict[str, float]
    brands: dict[str, float]
    recent: list[Recent]
    interests: list[str]
    seen: int
    has_vector: bool
    freshness: Freshness
    degraded: list[str]


class Feeds:
    """The endpoints that read."""

    def __init__(self, services: Services) -> None:
        self._services = services
        metrics = services.metrics
        self._stage_seconds = {
            name: metrics.stages.labels(name)
            for name in ("hydrate", "retrieve", "filter", "rank", "rerank", "explain", "total")
        }
        self._feed_parameters = (
            USER_ID,
            Parameter(name="surface", doc="where the feed is shown", default="home"),
            N,
            REGION,
            Parameter(name="device", doc="what it is shown on"),
            After(name="after", doc="the token of a receipt: its events are in the feed", longest=4096),
            Flag(name="explain", doc="whether to give reasons", default=True),
        )
        self._similar_parameters = (ITEM_ID, N)
        category = Parameter(name="category", doc="only items of this category")
        self._trending_parameters = (REGION, category, N)

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/users/{id}/feed", name="feed", summary="A person's feed",
                handler=self.feed, parameters=self._feed_parameters, answer=FeedAnswer, problems=(422,),
            ),
            Endpoint(
                method="GET", path="/v1/users/{id}/features", name="features",
                summary="The features that drive a person's feed", handler=self.features,
                parameters=(USER_ID,), answer=FeaturesAnswer, problems=(422,),
            ),
            Endpoint(
                method="GET", path="/v1/items/{id}/similar", name="similar", summary="Items like an item",
                handler=self.similar, parameters=self._similar_parameters, answer=Related, problems=(404, 422),
            ),
            Endpoint(
                method="GET", path="/v1/trending", name="trending", summary="What is popular now",
                handler=self.trending, parameters=self._trending_parameters, answer=Related, problems=(422,),
            ),
        ]  # fmt: skip

    async def feed(self, request: Request) -> Response:
        """Hydrate, recommend, respond; the list shown is logged on the side."""
        started = time.perf_counter()
        services = self._services
        asked = parameters.read(request, self._feed_parameters)
        user_id, surface = asked["id"], asked["surface"]
        person = await services.hydrator.person(user_id, asked["after"])
        hydrated = time.perf_counter()
        at = now_ms()
        pipeline = services.pipeline
        feed = pipeline.recommend(
            FeedRequest(
                person.features, at, asked["region"] or "", asked["n"], asked["explain"], asked["device"] or "",
                pairs=person.pairs,
            )
        )  # fmt: skip
        degraded = (["hydrate"] if person.degraded or person.pairs.degraded else []) + feed.degraded
        timings = {"hydrate": round((hydrated - started) * 1000, 3), **feed.timings_ms}
        timings["total"] = round((time.perf_counter() - started) * 1000, 3)
        request_id = secrets.token_hex(12)
        version = pipeline.model.version if pipeline.model else None
        answer = document(
            FeedAnswer(
                request_id, user_id, surface, [_feed_item(rank, e) for rank, e in enumerate(feed.entries)],
                person.freshness, version, VARIANT, degraded, timings,
            )
        )  # fmt: skip
        self._observe(timings, degraded, person.freshness)
        if feed.entries:
            # What a feed that fell back was made of is nothing to learn from.
            inputs = None if degraded else feed.inputs
            services.impressions.put(
                Impression(
                    request_id, user_id, at, feed.item_ids, surface, asked["region"], asked["device"], version, VARIANT,
                    features=None if inputs is None else inputs.tobytes(),
                    applied_offset=None if inputs is None else person.row_offset,
                    own_offsets=None if inputs is None else person.own_offsets,
                )
            )  # fmt: skip
        return answer

    def _observe(self, timings: dict[str, float], degraded: list[str], freshness: Freshness) -> None:
        for name, milliseconds in timings.items():
            self._stage_seconds[name].observe(milliseconds / 1000)
        for name in degraded:
            self._services.metrics.degraded.labels(name).inc()
        self._services.metrics.lag.observe(freshness.lag_ms / 1000)

    async def features(self, request: Request) -> Response:
        """What the store and the person's own last events say of them."""
        user_id = parameters.read(request, (USER_ID,))["id"]
        person = await self._services.hydrator.person(user_id)
        row = person.features
        return document(
            FeaturesAnswer(
                user_id,
                Session(
                    row["session_id"], row["session_start"], round(row["session_length_s"], 3), row["session_items"],
                    _counts(row["session_counts"]), list(row["session_categories"]),
                ),
                {name.removeprefix("events_"): _counts(row[name]) for name in WINDOWS},
                _shares(row, "category_affinity"),
                _shares(row, "brand_affinity"),
                [
                    Recent(item_id, kind, at, self._title(item_id))
                    for item_id, kind, at in zip(
                        row["recent_items"][:20], row["recent_types"][:20], row["recent_times"][:20], strict=True
                    )
                ],
                list(row["interests"]),
                len(row["seen"]) // 8,
                len(row["vector"]) > 0,
                person.freshness,
                ["hydrate"] if person.degraded else [],
            )
        )  # fmt: skip

    async def similar(self, request: Request) -> Response:
        """The item's nearest neighbours that can be had."""
        asked = parameters.read(request, self._similar_parameters)
        pipeline = self._services.pipeline
        columns, model = pipeline.columns, pipeline.model
        row = columns.row_of.get(asked["id"])
        if row is None:
            raise NotFound(f"No item has the id {asked['id']!r}; post it to /v1/items first.")
        n = asked["n"]
        if model is None or not columns.vectors[row].any():
            rows = pipeline.popular.everywhere()[: n + 1]
            rows = rows[rows != row][:n]
            return self._related(rows, _counts_now(columns.popularity[rows]), ["retrieve"])
        found = model.index.nearest(columns.vectors[row : row + 1], 2 * n + 50)[0]
        rows = found[(found != row) & columns.available[found]][:n]
        return self._related(rows, columns.vectors[rows] @ columns.vectors[row], [])

    async def trending(self, request: Request) -> Response:
        """What is popular now: everywhere or in a region, of all categories or of one."""
        asked = parameters.read(request, self._trending_parameters)
        pipeline = self._services.pipeline
        columns, popular = pipeline.columns, pipeline.popular
        region, category = asked["region"] or "", asked["category"]
        if category:
            code = columns.category_codes.get(category)
            rows = popular.of_category(code, region) if code else np.zeros(0, np.int64)
        else:
            rows = popular.within(region) if region else popular.everywhere()
        rows = rows[: asked["n"]]
        values = columns.popular_in(region) if region else columns.popularity
        return self._related(rows, _counts_now(values[rows]) if values is not None else np.zeros(0), [])

    def _related(self, rows: Rows, scores: npt.NDArray[np.floating[Any]], degraded: list[str]) -> Response:
        pipeline = self._services.pipeline
        columns = pipeline.columns
        items = [
            RelatedItem(columns.ids[row], round(score, 5), rank, columns.items[row])
            for rank, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True))
        ]
        return document(Related(items, pipeline.model.version if pipeline.model else None, degraded))

    def _title(self, item_id: str) -> str:
        item = self._services.catalogue.item(item_id)
        return item.title if item else ""


def _counts_now(popularity: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return POPULARITY.count(popularity, now_ms())


def _feed_item(rank: int, entry: Entry) -> FeedItem:
    return FeedItem(entry.item_id, round(entry.score, 5), rank, entry.item, entry.reason or UNSET)


def _counts(counts: Any) -> dict[str, int]:
    return {name: int(n) for name, n in zip(EVENT_TYPES, counts, strict=True) if n}


def _shares(row: Any, name: str) -> dict[str, float]:
    return {n: round(float(s), 4) for n, s in zip(row[name], row[f"{name}_scores"], strict=True)}
