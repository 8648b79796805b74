"""What is bought together with an item, and what completes a cart, over HTTP."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from recommend.query import STRANGER
from recommend.surfaces import bought_together, cart
from recommend.trace import StageTrace
from schemas.clock import now_ms
from schemas.events import Id, Impression
from schemas.faults import field_of
from serving import parameters
from serving.answers import FeedItem, Filtered, feed_items, filtered, trace_of
from serving.body import read_body
from serving.endpoint import ITEM_ID, Endpoint
from serving.feeds import (
    DIVERSITY,
    FILTER,
    VARIANT,
    explained,
    filter_of,
    how_many,
    observe,
    row_of,
    timings_of,
    variant_of,
)
from serving.hydrate import Freshness
from serving.problems import BadRequest, Fault, Unprocessable, document
from serving.services import Services

ITEM = (ITEM_ID, how_many(bought_together), FILTER, DIVERSITY, explained("reason"), VARIANT)
CART = (how_many(cart), FILTER, DIVERSITY, explained("reason"), VARIANT)
MOST = 100


class Cart(Struct, forbid_unknown_fields=True, frozen=True):
    """The items of a cart, and whose it is."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=MOST)]
    user_id: Id | None = None


class TogetherAnswer(Struct, frozen=True):
    """Items, best first. `unknown_items` are ids of the cart that no item has: the answer does without them.

    A `score` of 0 says that the item was in no basket with any of the cart: it is there since nothing, or too little,
    was bought together yet, and its reason says why. `freshness` is there where the request names a person; `degraded`,
    `trace` and `filter` are as in a feed.
    """

    request_id: str
    surface: str
    items: list[FeedItem]
    unknown_items: list[str]
    user_id: str | None
    freshness: Freshness | None
    model_version: str | None
    variant: str
    degraded: list[str]
    timings_ms: dict[str, float]
    trace: list[StageTrace] | UnsetType = UNSET
    filter: Filtered | UnsetType = UNSET


_read = msgspec.json.Decoder(Cart).decode


class Carts:
    """Two endpoints over the same stages."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def endpoints(self) -> list[Endpoint]:
        """In the order of the documentation."""
        return [
            Endpoint(
                method="GET", path="/v1/items/{id}/bought-together", name="bought_together",
                summary="What is bought together with an item", handler=self.item, parameters=ITEM,
                answer=TogetherAnswer, problems=(403, 404, 422),
            ),
            Endpoint(
                method="POST", path="/v1/cart", name="cart", summary="What completes a cart", handler=self.cart,
                parameters=CART, body=Cart, answer=TogetherAnswer, problems=(400, 403, 408, 413, 415, 422),
            ),
        ]  # fmt: skip

    async def item(self, request: Request) -> Response:
        """Complements of one item."""
        asked = parameters.read(request, ITEM)
        services = self._services
        variant = variant_of(services, asked)
        row = row_of(services, asked["id"])
        query = variant.pipeline.query(
            at=now_ms(),
            n=asked["n"],
            explain=asked["explain"],
            item=row,
            cart=np.array([row], np.int64),
            filter=filter_of(services, asked["filter"], bought_together, variant.pipeline),
            diversity=asked["diversity"],
        )
        answer = variant.pipeline.recommend(bought_together, query)
        observe(services, bought_together, answer, answer.timings_ms, answer.degraded)
        return document(
            TogetherAnswer(
                secrets.token_hex(12), bought_together.name, feed_items(answer), [], None, None, variant.version,
                variant.name, answer.degraded, answer.timings_ms, trace_of(answer), filtered(answer),
            )
        )  # fmt: skip

    async def cart(self, request: Request) -> Response:
        """Complements of a cart, for a person where one is named; what a person is shown is logged on the side."""
        started = time.perf_counter()
        asked = parameters.read(request, CART)
        services = self._services
        given = _cart(await read_body(request, services.settings.body_limit, services.settings.body_wait_s))
        user_id = given.user_id
        variant = variant_of(services, asked, user_id or "")
        chosen = filter_of(services, asked["filter"], cart, variant.pipeline)
        person, rules = None, variant.pipeline.rules()
        if user_id is not None:
            person = await services.hydrator.person(user_id, None, variant.space(cart.name), rules.reads_attributes)
        hydrated = time.perf_counter()
        columns, ids = variant.pipeline.columns, list(dict.fromkeys(given.items))
        at = now_ms()
        query = variant.pipeline.query(
            at=at, user=person.features if person else STRANGER, n=asked["n"], explain=asked["explain"],
            cart=columns.rows(ids), filter=chosen, diversity=asked["diversity"], rules=rules,
        )  # fmt: skip
        answer = variant.pipeline.recommend(cart, query)
        degraded = (["hydrate"] if person and person.degraded else []) + answer.degraded
        timings = timings_of(answer, started, (hydrated - started) * 1000)
        request_id = secrets.token_hex(12)
        response = document(
            TogetherAnswer(
                request_id, cart.name, feed_items(answer), [id for id in ids if id not in columns.row_of], user_id,
                person.freshness if person else None, variant.version, variant.name, degraded, timings,
                trace_of(answer), filtered(answer),
            )
        )  # fmt: skip
        observe(services, cart, answer, timings, degraded)
        shown = answer.item_ids
        if user_id is not None and person and person.consent and shown:
            services.impressions.put(
                Impression(request_id, user_id, at, shown, cart.name, None, None, variant.version, variant.name)
            )
        return response


def _cart(body: bytes) -> Cart:
    try:
        return _read(body)
    except msgspec.ValidationError as error:
        name, detail = field_of(error)
        detail = detail.replace("this event", "a cart")
        raise Unprocessable(f"{name or 'body'}: {detail}", [Fault(name or "body", detail)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
