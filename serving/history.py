"""What the server can say of a person without a list to rank: what they met recently, what they may buy again, and the
categories and brands that are theirs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from recommend.controls import PersonControls
from recommend.controls import asked as controls_of
from recommend.page_rows import AGAIN
from schemas import controls as names
from schemas.clock import now_ms
from schemas.events import Item
from serving import parameters
from serving.afterwards import Afterwards
from serving.again import AgainAnswer, again_body
from serving.bodies import Around, degraded_of
from serving.endpoint import USER_ID, Endpoint
from serving.feeds import observe
from serving.hydrate import Freshness
from serving.parameters import Whole
from serving.personal import read_person
from serving.problems import document
from serving.request_parameters import AFTER, AT, EXCLUDE, FILTER, VARIANT, explained
from serving.requested import Requests
from serving.services import Services

KEPT = 50
"""interactions in a person's row"""
RECENT = (USER_ID, Whole(name="n", doc="how many items", default=20, most=KEPT), AFTER)
SEGMENTS = (USER_ID, Whole(name="n", doc="how many of each", default=20, most=100), AFTER)
BUY_AGAIN = (
    USER_ID, Whole(name="n", doc="how many items", default=20, most=KEPT), AFTER, explained("none", ("none", "full")),
    FILTER, EXCLUDE, AT, VARIANT,
)  # fmt: skip


class RecentItem(Struct, frozen=True):
    """An item, the person's latest interaction with it, and with how many of the last ones it has to do."""

    item_id: str
    event_type: str
    timestamp: int
    times: int
    item: Item | None


class RecentAnswer(Struct, frozen=True):
    """Items of the last interactions, each once, newest first."""

    user_id: str
    items: list[RecentItem]
    freshness: Freshness
    degraded: list[str]


class Segment(Struct, frozen=True):
    """A category or brand. `weight` is its share of the person's attention, decayed; 0 of one that is only `stated`, by
    a control or the profile."""

    name: str
    weight: float
    source: Literal["behaviour", "stated", "both"]


class SegmentsAnswer(Struct, frozen=True):
    """Categories and brands of a person, by weight. What the person refuses is left out."""

    user_id: str
    categories: list[Segment]
    brands: list[Segment]
    freshness: Freshness
    degraded: list[str]


class History:
    """Three endpoints over one person's row. Nothing is logged as shown. Of a person without consent all are empty."""

    def __init__(self, services: Services, requests: Requests) -> None:
        self._services = services
        self._requests = requests

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/users/{id}/recent", name="recent", summary="What a person met recently",
                handler=self.recent, parameters=RECENT, answer=RecentAnswer, problems=(422,),
            ),
            Endpoint(
                method="GET", path="/v1/users/{id}/again", name="again", summary="What a person may buy again",
                handler=self.again, parameters=BUY_AGAIN, answer=AgainAnswer, problems=(403, 422),
            ),
            Endpoint(
                method="GET", path="/v1/users/{id}/segments", name="segments",
                summary="Categories and brands for a person", handler=self.segments, parameters=SEGMENTS,
                answer=SegmentsAnswer, problems=(422,),
            ),
        ]  # fmt: skip

    async def recent(self, request: Request) -> Response:
        """Items of the person's last interactions, but for those that their controls hide or refuse."""
        asked = parameters.read(request, RECENT)
        person = await self._services.hydrator.person(asked["id"], asked["after"])
        row, columns = person.features, self._services.catalogue.columns
        latest: dict[str, list[Any]] = {}
        for item_id, kind, at in zip(row["recent_items"], row["recent_types"], row["recent_times"], strict=True):
            found = latest.setdefault(item_id, [kind, int(at), 0])
            found[2] += 1
        places = {item_id: columns.row_of[item_id] for item_id in latest if item_id in columns.row_of}
        controls = PersonControls(columns, controls_of(row, now_ms()))
        rows = columns.rows(list(places))
        out = set(controls.hidden.tolist()) | set(rows[controls.refused(rows)].tolist())
        items = [
            RecentItem(item_id, kind, at, times, self._services.catalogue.item(item_id))
            for item_id, (kind, at, times) in latest.items()
            if places.get(item_id) not in out
        ]
        return document(
            RecentAnswer(asked["id"], items[: asked["n"]], person.freshness, ["hydrate"] if person.degraded else [])
        )

    async def again(self, request: Request) -> Response:
        """Items that are due by the person's own intervals between purchases, through the pipeline: filters, rules and
        controls are in force."""
        asked = parameters.read(request, BUY_AGAIN)
        user_id = asked["id"]
        requested = self._requests.check({**asked, "objective": None}, AGAIN, BUY_AGAIN, user_id)
        person = await read_person(self._services, requested, user_id, asked["after"])
        request_id = secrets.token_hex(12)
        with self._services.recorder.recording(request_id, person) as recording:
            query = requested.query(user=person.features, n=asked["n"], user_id=user_id)
            answer = requested.answer(query, recording)
            around = Around(
                kind="again", request_id=request_id, surface=AGAIN.name, unknown_items=requested.unknown, next=None,
                model_version=requested.variant.version, variant=requested.variant.name, timings_ms={}, user_id=user_id,
                freshness=person.freshness, hydrated=not person.degraded,
            )  # fmt: skip
            response = document(again_body(around, answer))
            recording.take(around, answer, response.body)
        degraded = degraded_of(around.hydrated, answer)
        response.background = Afterwards(partial(observe, self._services, AGAIN, answer, answer.timings_ms, degraded))
        return response

    async def segments(self, request: Request) -> Response:
        """Shares of attention in the person's row, and what the profile and controls state."""
        asked = parameters.read(request, SEGMENTS)
        person = await self._services.hydrator.person(asked["id"], asked["after"])
        row = person.features
        controls = PersonControls(self._services.catalogue.columns, controls_of(row, now_ms()))
        stated = [*controls.targets(names.MORE_CATEGORY), *row["interests"]]
        categories = segments(row, "category_affinity", stated, controls.refused_categories)
        brands = segments(row, "brand_affinity", controls.more_brands, controls.refused_brands)
        return document(
            SegmentsAnswer(
                asked["id"], categories[: asked["n"]], brands[: asked["n"]], person.freshness,
                ["hydrate"] if person.degraded else [],
            )
        )  # fmt: skip


def segments(row: Mapping[str, Any], name: str, stated: list[str], refused: frozenset[str]) -> list[Segment]:
    """The field `name` of a row with its scores, and what is stated, each once whatever its case, by weight."""
    found: dict[str, Segment] = {}
    for each, share in zip(row[name], row[f"{name}_scores"], strict=True):
        found[each.casefold()] = Segment(each, round(float(share), 4), "behaviour")
    for each in stated:
        known = found.get(each.casefold())
        if known is None:
            found[each.casefold()] = Segment(each, 0.0, "stated")
        elif known.source == "behaviour":
            found[each.casefold()] = Segment(known.name, known.weight, "both")
    out = {each.casefold() for each in refused}
    kept = [each for key, each in found.items() if key not in out]
    return sorted(kept, key=lambda each: -each.weight)
