"""GET /v1/users: some people who have a profile, read from the end of the topic at a request.

Profiles are personal data: they are listed only where an API key is set, or where the setting `list_users` allows it.
"""

from __future__ import annotations

import asyncio
import logging
import time

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from schemas import codec
from schemas.errors import EventError
from schemas.events import User
from schemas.follow import knock
from schemas.topics import USERS
from serving import parameters
from serving.endpoint import Endpoint
from serving.parameters import Whole
from serving.problems import Forbidden, document
from serving.services import Services

log = logging.getLogger(__name__)

KEEP_S = 30.0
DEADLINE_S = 3.0
MOST = 100
N_PEOPLE = Whole(name="n", doc="how many people", default=20, most=MOST)


class Profiles(Struct, frozen=True):
    """Profiles, the latest of each person."""

    users: list[User]


class People:
    """One endpoint. Its answer is cached, as every read opens a consumer."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._kafka = settings.kafka
        self._allowed = settings.api_key is not None or settings.list_users
        self._lock = asyncio.Lock()
        self._found: list[User] = []
        self._read_at = -KEEP_S

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                method="GET", path="/v1/users", name="users", summary="Some people who have a profile",
                handler=self.users, parameters=(N_PEOPLE,), answer=Profiles, problems=(403, 422),
            )
        ]  # fmt: skip

    async def users(self, request: Request) -> Response:
        """Profiles near the end of the topic, of people who have not withdrawn their consent; none while Kafka is
        away."""
        n = parameters.read(request, (N_PEOPLE,))["n"]
        if not self._allowed:
            raise Forbidden(
                "Profiles are listed only where the server has an API key (FRESHET_API_KEY), or where "
                "FRESHET_LIST_USERS=true allows everybody to read them."
            )
        async with self._lock:
            if time.monotonic() - self._read_at >= KEEP_S:
                self._found = await asyncio.to_thread(latest, self._kafka)
                self._read_at = time.monotonic() if self._found else -KEEP_S
        return document(Profiles(self._found[:n]))


def latest(kafka: str, n: int = MOST) -> list[User]:
    """Up to n profiles from the last records of each partition; empty where Kafka does not answer."""
    users: dict[str, User] = {}
    try:
        knock(kafka)
        consumer = KafkaConsumer(
            bootstrap_servers=kafka, enable_auto_commit=False, bootstrap_timeout_ms=int(DEADLINE_S * 1000)
        )
        try:
            numbers = sorted(consumer.partitions_for_topic(USERS) or ())
            partitions = [TopicPartition(USERS, number) for number in numbers]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            for partition, end in ends.items():
                consumer.seek(partition, max(0, end - n // len(partitions) - 1))
            deadline = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline and any(consumer.position(p) < e for p, e in ends.items()):
                for records in consumer.poll(timeout_ms=200).values():
                    for record in records:
                        _take(users, record.key, record.value)
        finally:
            consumer.close()
    except (KafkaError, OSError, ValueError) as error:
        log.warning("profiles cannot be read: %s", error)
    return list(users.values())[:n]


def _take(users: dict[str, User], key: bytes | None, value: bytes | None) -> None:
    if value is None:
        users.pop((key or b"").decode(errors="replace"), None)
        return
    try:
        user = codec.decode(USERS, value)
    except EventError:
        return
    if user.consent:
        users[user.user_id] = user
    else:
        users.pop(user.user_id, None)
