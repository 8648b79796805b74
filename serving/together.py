"""What is bought together with an item, and what completes a cart, over HTTP."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from recommend.query import STRANGER
from recommend.slots import seed_of
from recommend.surfaces import bought_together, cart
from schemas.events import Id
from serving import parameters
from serving.afterwards import Afterwards
from serving.answers import TogetherAnswer
from serving.bodies import body, degraded_of
from serving.body import read_object
from serving.endpoint import FOR_USER, ITEM_ID, Endpoint
from serving.feeds import observe, person_of, row_of, timings_of
from serving.personal import impression, is_explored, is_logged, read_person
from serving.problems import document
from serving.request_parameters import AFTER, COMMON, explained, how_many
from serving.requested import Requests
from serving.services import Services

ITEM = (ITEM_ID, FOR_USER, AFTER, how_many(bought_together), explained("reason"), *COMMON)
CART = (how_many(cart), explained("reason"), *COMMON)
MOST = 100


class Cart(Struct, forbid_unknown_fields=True, frozen=True):
    """The items of a cart, and whose it is."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=MOST)]
    user_id: Id | None = None


class Carts:
    """Two endpoints over the same stages."""

    def __init__(self, services: Services, requests: Requests) -> None:
        self._services = services
        self._requests = requests

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
        """Complements of one item, for a person as those of a cart of it."""
        asked = parameters.read(request, ITEM)
        user_id = asked["user_id"]
        surface = self._services.named[bought_together.name]
        requested = self._requests.check(asked, surface, ITEM, user_id or "")
        row = row_of(self._services, asked["id"])
        person = await person_of(self._services, requested)
        user = person.features if person else STRANGER
        request_id, shows = secrets.token_hex(12), is_explored(request, requested, person)
        with self._services.recorder.recording(request_id, person) as recording:
            query = requested.query(
                n=asked["n"], user=user, user_id=user_id or "", item=row, cart=np.array([row], np.int64),
                seed=seed_of(request_id, shows),
            )  # fmt: skip
            answer = requested.answer(query, recording)
            hydrated = not (person and person.degraded)
            around = requested.around("together", answer, request_id, answer.timings_ms, user_id, person, hydrated)
            response = document(body(around, answer))
            recording.take(around, answer, response.body)

        def note() -> None:
            observe(self._services, surface, answer, answer.timings_ms, degraded_of(around.hydrated, answer))
            if shows and user_id is not None and answer.item_ids:
                self._services.log_shown(impression(request_id, user_id, requested, answer))

        response.background = Afterwards(note)
        return response

    async def cart(self, request: Request) -> Response:
        """Complements of a cart, for a person where one is named; what a person is shown is logged on the side."""
        started = time.perf_counter()
        asked = parameters.read(request, CART)
        services = self._services
        given = await read_object(request, Cart, "a cart", services.settings)
        user_id, ids = given.user_id, list(dict.fromkeys(given.items))
        of_body = {"items": ids, "user_id": user_id}
        surface = services.named[cart.name]
        requested = self._requests.check(asked, surface, CART, user_id or "", of_body, ids)
        variant = requested.variant
        person = None
        if user_id is not None:
            person = await read_person(services, requested, user_id)
        hydrated = time.perf_counter()
        request_id, shows = secrets.token_hex(12), is_logged(request, requested, person)
        with services.recorder.recording(request_id, person) as recording:
            query = requested.query(
                user=person.features if person else STRANGER, n=asked["n"], cart=variant.pipeline.columns.rows(ids),
                seed=seed_of(request_id, shows),
            )  # fmt: skip
            answer = requested.answer(query, recording)
            timings = timings_of(answer, started, (hydrated - started) * 1000)
            around = requested.around(
                "together", answer, request_id, timings, user_id, person, not (person and person.degraded)
            )
            response = document(body(around, answer))
            recording.take(around, answer, response.body)

        def note() -> None:
            observe(services, surface, answer, timings, degraded_of(around.hydrated, answer))
            if shows and user_id is not None and answer.item_ids:
                services.log_shown(impression(request_id, user_id, requested, answer))

        response.background = Afterwards(note)
        return response
