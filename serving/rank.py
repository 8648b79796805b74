"""POST /v1/rank: a list of the caller's own, ranked for a person."""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from recommend.query import STRANGER
from recommend.surfaces import rank
from recommend.surfaces.rank import MOST
from schemas.events import Id
from serving import parameters
from serving.afterwards import Afterwards
from serving.answers import RankAnswer
from serving.bodies import body, degraded_of
from serving.body import read_object
from serving.endpoint import REGION, Endpoint
from serving.feeds import observe, timings_of
from serving.personal import read_person
from serving.problems import document
from serving.request_parameters import AFTER, AT, DEVICE, FILTER, OBJECTIVE, VARIANT, explained
from serving.requested import Requests
from serving.services import Services

RANK = (REGION, DEVICE, AFTER, explained("none", ("none", "full", "events")), FILTER, OBJECTIVE, AT, VARIANT)


class RankedList(Struct, forbid_unknown_fields=True, frozen=True):
    """The items to rank, and for whom; a person who is not named is one of whom nothing is known."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=MOST)]
    user_id: Id | None = None


class Ranking:
    """One endpoint. Nothing is logged as shown: what is shown of the list, the caller alone can say, by an impression
    with the answer's request_id."""

    def __init__(self, services: Services, requests: Requests) -> None:
        self._services = services
        self._requests = requests

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                method="POST", path="/v1/rank", name="rank", summary="Your own list, ranked for a person",
                handler=self.rank, parameters=RANK, body=RankedList, answer=RankAnswer,
                problems=(400, 403, 408, 413, 415, 422),
            )
        ]  # fmt: skip

    async def rank(self, request: Request) -> Response:
        """All items of the list that there are, best first; filters mark items and remove none."""
        started = time.perf_counter()
        asked = parameters.read(request, RANK)
        services = self._services
        given = await read_object(request, RankedList, "a list to rank", services.settings)
        user_id, ids = given.user_id, list(dict.fromkeys(given.items))
        requested = self._requests.check(asked, rank, RANK, user_id or "", items=ids)
        variant, person = requested.variant, None
        if user_id is not None:
            person = await read_person(services, requested, user_id, asked["after"])
        hydrated = time.perf_counter()
        about = {} if person is None else {"user": person.features, "pairs": person.pairs}
        request_id = secrets.token_hex(12)
        with services.recorder.recording(request_id, person) as recording:
            query = requested.query(
                n=len(ids), region=asked["region"] or "", device=asked["device"] or "", user_id=user_id or "",
                given=variant.pipeline.columns.rows(ids), **({"user": STRANGER} | about),
            )  # fmt: skip
            begun = requested.begin(query, recording)
            pairs_ms = 0.0
            if person is not None and (wanted := begun.wanted_pairs()):
                asked_at = time.perf_counter()
                await person.pairs.prefetch(wanted)
                pairs_ms = (time.perf_counter() - asked_at) * 1000
            answer = requested.finish(begun)
            timings = timings_of(answer, started, (hydrated - started) * 1000 + pairs_ms)
            failed = person is not None and (person.degraded or person.pairs.degraded)
            around = requested.around("rank", answer, request_id, timings, user_id, person, not failed)
            response = document(body(around, answer))
            recording.take(around, answer, response.body)
        degraded = degraded_of(around.hydrated, answer)
        response.background = Afterwards(partial(observe, services, rank, answer, timings, degraded))
        return response
