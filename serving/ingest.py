"""POST endpoints of events: each event is validated, written to Kafka, and acknowledged when the broker has stored
it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from operators.contract import Record
from schemas import codec, json_reader
from schemas.clock import now_ms
from schemas.errors import EventError, InvalidEvent, TooFarInFuture
from schemas.events import MAX_FUTURE_MS, SERVERS_OWN, Event, Impression, Interaction, Item, User
from schemas.topics import IMPRESSIONS, INTERACTIONS, ITEMS, USERS
from serving import parameters
from serving.body import read_body
from serving.endpoint import Endpoint
from serving.problems import BadRequest, Fault, Unavailable, Unprocessable, document
from serving.producer import KafkaAway, Place
from serving.services import Services
from serving.tokens import EventPlace, Token

MOST = 1000
LARGEST = 1_000_000
"""bytes of one event in Kafka, whose own limit is a little higher"""
ALONE = 16
"""Up to this many events are validated on the event loop, more of them in a thread, so that other requests go on."""


class Rejection(Struct, frozen=True):
    """Why an event was not accepted. `index` is its place in the posted list, 0 for a single event."""

    index: int
    reason: str
    field: str
    detail: str


class Receipt(Struct, frozen=True):
    """The number of stored events, and the `token` for `feed?after=`."""

    accepted: int
    token: str
    rejected: list[Rejection]


class Ingest:
    """The four POST endpoints."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def endpoints(self) -> list[Endpoint]:
        """One for each topic."""
        topics = (
            (INTERACTIONS, "/v1/events", "events", "Store what people did", Interaction),
            (ITEMS, "/v1/items", "items", "Store catalogue entries", Item),
            (USERS, "/v1/users", "users", "Store profiles", User),
            (IMPRESSIONS, "/v1/impressions", "impressions", "Store lists as they were shown", Impression),
        )
        return [
            Endpoint(
                method="POST", path=path, name=f"post_{name}", summary=summary, handler=self._handler(topic),
                body=kind, many=True, status=202, answer=Receipt, problems=(400, 408, 413, 415, 422, 503),
            )
            for topic, path, name, summary, kind in topics
        ]  # fmt: skip

    def _handler(self, topic: str) -> Any:
        async def handle(request: Request) -> Response:
            return await self._post(topic, request)

        return handle

    async def _post(self, topic: str, request: Request) -> Response:
        parameters.read(request, ())
        settings = self._services.settings
        body = await read_body(request, settings.body_limit, settings.body_wait_s)
        documents, large = _documents(body), len(body) > LARGEST
        if len(documents) > ALONE:
            events, rejected = await asyncio.to_thread(_read, topic, documents, large)
        else:
            events, rejected = _read(topic, documents, large)
        count = self._services.metrics.events
        if not events:
            count.labels(topic, "rejected").inc(len(rejected))
            raise Unprocessable("None of the events can be taken.", [_fault(r) for r in rejected])
        try:
            places = await self._services.events.append([event for _, event in events])
        except KafkaAway:
            count.labels(topic, "not_stored").inc(len(events))
            raise Unavailable("Kafka has not acknowledged any of it. Send the same again.") from None
        receipt = self._receipt(topic, events, places, rejected)
        for result, n in Counter(r.reason for r in receipt.rejected).items():
            count.labels(topic, "not_stored" if result == "not_stored" else "rejected").inc(n)
        count.labels(topic, "accepted").inc(receipt.accepted)
        return document(receipt, 202)

    def _receipt(
        self,
        topic: str,
        events: list[tuple[int, Event]],
        places: list[Place | None],
        rejected: list[Rejection],
    ) -> Receipt:
        now = now_ms()
        stored: list[EventPlace] = []
        for (index, event), place in zip(events, places, strict=True):
            if place is None:
                detail = "the broker did not acknowledge it in time; send the same again"
                rejected.append(Rejection(index, "not_stored", "", detail))
                continue
            stored.append(EventPlace(*place[:3], "" if isinstance(event, Item) else event.user_id))
            if isinstance(event, User) and event.consent is not None:
                self._services.on_consent(event.user_id, event.consent, place.arrived)
            if isinstance(event, Impression):
                self._services.shown.add(event)
            self._services.own.add(Record(event, topic, place.partition, place.offset, place.arrived), now)
        token = Token.of(self._services.issuer, stored)
        return Receipt(len(stored), token.encode(), sorted(rejected, key=lambda r: r.index))


def _documents(body: bytes) -> list[Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    documents = found if isinstance(found, list) else [found]
    if not 1 <= len(documents) <= MOST:
        detail = f"must hold 1 to {MOST} events; this one holds {len(documents)}"
        raise Unprocessable(f"The list {detail}.", [Fault("body", detail)])
    return documents


def _read(topic: str, documents: list[Any], large: bool) -> tuple[list[tuple[int, Event]], list[Rejection]]:
    """Valid events with their places in the list, and the rejections. `large`: sizes in Kafka are checked too."""
    events: list[tuple[int, Event]] = []
    rejected: list[Rejection] = []
    latest = now_ms() + MAX_FUTURE_MS
    for index, found in enumerate(documents):
        try:
            event = json_reader.parse(topic, found)
            if isinstance(event, (Interaction, Impression)) and event.timestamp > latest:
                raise TooFarInFuture("is ahead of the server's clock by more than five minutes", "timestamp")
            if isinstance(event, Impression):
                _check_not_ours(event)
            if large and len(codec.encode(event)) > LARGEST:
                raise InvalidEvent(f"takes more than {LARGEST} bytes in Kafka; send less in it")
        except EventError as error:
            rejected.append(Rejection(index, error.reason, error.field[:300], error.detail[:300]))
        else:
            events.append((index, event))
    return events, rejected


def _check_not_ours(shown: Impression) -> None:
    """Rejects fields that only a server may set, since consistency checks rely on them."""
    for name in SERVERS_OWN:
        if getattr(shown, name) is not None:
            raise InvalidEvent("is set by the server alone, for the lists that it makes; leave it out", name)


def _fault(rejection: Rejection) -> Fault:
    return Fault(rejection.field or "body", rejection.detail, rejection.reason, rejection.index)
