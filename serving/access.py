"""ASGI middleware: the API key, and the time of each request."""

from __future__ import annotations

import functools
import hmac
import time

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.problems import Unauthorized

GUARDED = "/v1/"


class RequireKey:
    """Answers 401 to calls under /v1/ that do not carry the key."""

    def __init__(self, app: ASGIApp, key: SecretStr) -> None:
        self._app = app
        self._key = key.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] == "http" and scope["path"].startswith(GUARDED)
        if guarded and not self._allowed(dict(scope["headers"])):
            await Unauthorized().response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allowed(self, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"x-api-key", b"")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            given = token.strip()
        # Compared in constant time: how far a guess is right must not show in how long the answer takes.
        return hmac.compare_digest(given, self._key)


class Timed:
    """Observes every request, by the endpoint's name and the status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._seconds = functools.cache(metrics.requests.labels)  # which looks each up under a lock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # Known once the router has run. Unknown paths and requests that were refused before it share one name, so
            # that nobody can make as many series as they like.
            name = scope.get("operation") or getattr(scope.get("route"), "name", None) or "none"
            self._seconds(name, str(status)).observe(time.perf_counter() - started)
