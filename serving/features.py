"""GET /v1/users/{id}/features: the features of a person, in readable form."""

from __future__ import annotations

from itertools import islice
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from feature_repo import views
from operators.follows import following
from operators.seen import seen_hashes
from recommend.controls import asked
from schemas.clock import now_ms
from schemas.events import EVENT_TYPES
from serving import parameters
from serving.endpoint import USER_ID, Endpoint
from serving.hydrate import Freshness
from serving.problems import document
from serving.services import Services

WINDOWS = tuple(f.name for f in views.user.fields if f.name.startswith("events_"))
RECENT = 20
"""interactions shown at most"""


class SessionSummary(Struct, frozen=True):
    """The current session; empty after its end."""

    id: str
    start: int
    length_s: float
    items: int
    counts: dict[str, int]
    categories: list[str]


class RecentInteraction(Struct, frozen=True):
    """One of the last interactions."""

    item_id: str
    event_type: str
    timestamp: int
    title: str


class ControlInForce(Struct, frozen=True):
    """What the person asked for: `event_id` is what an undo names."""

    event_id: str
    control: str
    target: str
    """the item, category or brand; empty where the control takes none"""
    timestamp: int


class FeaturesAnswer(Struct, frozen=True):
    """The features that a person's feed is made from."""

    user_id: str
    session: SessionSummary
    events: dict[str, dict[str, int]]
    """window → event type → count"""
    categories: dict[str, float]
    brands: dict[str, float]
    recent: list[RecentInteraction]
    interests: list[str]
    """of the profile and of controls"""
    controls: list[ControlInForce]
    """newest first"""
    follows: list[str]
    """the people whom the person follows, the latest first"""
    seen: int
    has_vector: bool
    freshness: Freshness
    degraded: list[str]


class PersonFeatures:
    """The endpoint that shows a person's row, with their own events applied."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/users/{id}/features", name="features",
                summary="The features that drive a person's feed", handler=self.features,
                parameters=(USER_ID,), answer=FeaturesAnswer, problems=(422,),
            ),
        ]  # fmt: skip

    async def features(self, request: Request) -> Response:
        """Answers with the person's row in the store, and events that it lacks applied."""
        user_id = parameters.read(request, (USER_ID,))["id"]
        person = await self._services.hydrator.person(user_id)
        row = person.features
        return document(
            FeaturesAnswer(
                user_id,
                SessionSummary(
                    row["session_id"], row["session_start"], round(row["session_length_s"], 3), row["session_items"],
                    _counts(row["session_counts"]), list(row["session_categories"]),
                ),
                {name.removeprefix("events_"): _counts(row[name]) for name in WINDOWS},
                _shares(row, "category_affinity"),
                _shares(row, "brand_affinity"),
                [
                    RecentInteraction(item_id, kind, at, self._title(item_id))
                    for item_id, kind, at in islice(
                        zip(row["recent_items"], row["recent_types"], row["recent_times"], strict=True), RECENT
                    )
                ],
                list(row["interests"]),
                [ControlInForce(each.id, each.kind, each.target, each.at) for each in asked(row, now_ms())],
                following(row),
                len(seen_hashes(row)),
                len(row["vector"]) > 0,
                person.freshness,
                ["hydrate"] if person.degraded else [],
            )
        )  # fmt: skip

    def _title(self, item_id: str) -> str:
        item = self._services.catalogue.item(item_id)
        return item.title if item else ""


def _counts(counts: Any) -> dict[str, int]:
    return {name: int(n) for name, n in zip(EVENT_TYPES, counts, strict=True) if n}


def _shares(row: Any, name: str) -> dict[str, float]:
    return {n: round(float(s), 4) for n, s in zip(row[name], row[f"{name}_scores"], strict=True)}
