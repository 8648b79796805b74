"""GET /v1/users: people with a profile, read from the end of the topic at each request.

Profiles are personal data: they are listed only where an API key is set, or where the setting `list_users` allows it.
"""

from __future__ import annotations

import asyncio
import logging
import time

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from follow import to_end
from follow.connection import Connection
from follow.to_end import KafkaUnreadable
from schemas import messages
from schemas.errors import EventError
from schemas.events import User
from schemas.topics import USERS
from serving import parameters
from serving.endpoint import Endpoint
from serving.parameters import Whole
from serving.problems import Forbidden, document
from serving.services import Services
from serving.settings import WHERE_SHOWN

log = logging.getLogger(__name__)

KEEP_S = 30.0
DEADLINE_S = 3.0
MOST = 100
N_PEOPLE = Whole(name="n", doc="how many people", default=20, most=MOST)


class Profiles(Struct, frozen=True):
    """Profiles, the latest of each person."""

    users: list[User]


class ProfileList:
    """One endpoint. Its answer is cached, as every read opens a consumer."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._connection = settings.connection
        self._opt_in = settings.opt_in
        self._allowed = settings.shows_profiles
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
        """Profiles near the end of the topic, of people who consent; none while Kafka is away."""
        n = parameters.read(request, (N_PEOPLE,))["n"]
        if not self._allowed:
            raise Forbidden(f"Profiles are listed only {WHERE_SHOWN}.")
        async with self._lock:
            if time.monotonic() - self._read_at >= KEEP_S:
                self._found = await asyncio.to_thread(latest, self._connection, opt_in=self._opt_in)
                self._read_at = time.monotonic() if self._found else -KEEP_S
        return document(Profiles(self._found[:n]))


def latest(connection: Connection, n: int = MOST, opt_in: bool = False) -> list[User]:
    """Up to n profiles of people who consent, from the last records of each partition; empty where Kafka does not
    answer. `opt_in`: of those alone who have given consent."""
    users: dict[str, User] = {}
    try:
        for message in to_end.read(connection, [USERS], n, DEADLINE_S):
            _take(users, message.key, message.value)
    except KafkaUnreadable as error:
        log.warning("profiles cannot be read: %s", error)
    return [user for user in users.values() if (user.consent if opt_in else user.consent is not False)][:n]


def _take(users: dict[str, User], key: bytes | None, value: bytes | None) -> None:
    try:
        user = messages.read(USERS, key, value)
    except EventError:
        return
    assert isinstance(user, User)
    known = user.after(users.get(user.user_id))
    if value is None and known.consent is not False:
        users.pop(user.user_id, None)
    else:
        users[user.user_id] = known
