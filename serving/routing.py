"""Routes that match the segments of a path before they are decoded, one route for all methods of a path.

Starlette's routes match the decoded path, in which a slash inside an id looks like one between segments. Here
each segment is decoded on its own: `/v1/users/a%2Fb/feed` is the feed of `a/b`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from serving.endpoint import Endpoint

Segments = tuple[str | None, ...]
"""of a path that was asked for; None is one that is no UTF-8"""


class Resource(BaseRoute):
    """The route of one path. Its 405 and its answer to OPTIONS list all methods of the path."""

    def __init__(self, path: str, endpoints: Sequence[Endpoint]) -> None:
        self.path = path
        self._segments = tuple(path.split("/"))
        self._endpoints: dict[str, Endpoint] = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._endpoints:
            self._endpoints["HEAD"] = self._endpoints["GET"]
        self.allow = ", ".join(sorted({*self._endpoints, "OPTIONS"}))

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """By method."""
        return self._endpoints

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        found = segments_of(scope)
        if len(found) != len(self._segments):
            return Match.NONE, {}
        parameters: dict[str, Any] = {}
        for ours, theirs in zip(self._segments, found, strict=True):
            if ours.startswith("{"):
                if not theirs:
                    return Match.NONE, {}
                parameters[ours[1:-1]] = theirs
            elif ours != theirs:
                return Match.NONE, {}
        return Match.FULL, {"path_params": parameters, "operation": self._name(scope["method"])}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        endpoint = self._endpoints.get(method)
        if endpoint is not None:
            answer = await endpoint.handler(Request(scope, receive, send))
        elif method == "OPTIONS":
            answer = Response(status_code=204, headers={"Allow": self.allow})
        else:
            raise HTTPException(405, headers={"Allow": self.allow})
        await answer(scope, receive, send)

    def _name(self, method: str) -> str:
        endpoint = self._endpoints.get(method)
        return endpoint.name if endpoint else "none"


def resources(endpoints: Sequence[Endpoint]) -> list[BaseRoute]:
    """One for each path, in the order in which paths are first named."""
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    return [Resource(path, of_path) for path, of_path in by_path.items()]


def segments_of(scope: Scope) -> Segments:
    """The path's segments, each decoded; kept in the scope, since every route reads them."""
    found: Segments | None = scope.get("freshet.segments")
    if found is None:
        raw = scope.get("raw_path") or scope["path"].encode()
        found = tuple(_decoded(segment) for segment in raw.split(b"?", 1)[0].split(b"/"))
        scope["freshet.segments"] = found
    return found


def _decoded(segment: bytes) -> str | None:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return None
