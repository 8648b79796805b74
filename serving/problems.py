"""Errors for callers, as RFC 9457 problem documents that name the parameter at fault and the fix.

Problem
├── BadRequest          400  the body is not what it should be, as a whole
├── Unauthorized        401
├── Forbidden           403
├── NotFound            404
├── BodyTooLarge        413
├── Unprocessable       422  fields or parameters at fault, each named
└── Unavailable         503  with Retry-After
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Fault(Struct, frozen=True, omit_defaults=True):
    """One thing to mend: the parameter or field, and how. `index` is its place in a posted list."""

    name: str
    detail: str
    reason: str | None = None
    index: int | None = None


class ProblemDetails(Struct, frozen=True, omit_defaults=True):
    """The document."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []


class Problem(Exception):
    """Root of the tree."""

    status = 500
    type = "about:blank"
    title = "Internal Server Error"

    def __init__(self, detail: str, errors: Sequence[Fault] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer to send."""
        document = ProblemDetails(self.type, self.title, self.status, self.detail, self.errors)
        return Response(msgspec.json.encode(document), self.status, self.headers, MEDIA_TYPE)


class BadRequest(Problem):
    status, type, title = 400, "/problems/bad-request", "The request cannot be read"


class Unauthorized(Problem):
    status, type, title = 401, "/problems/unauthorized", "An API key is needed"

    def __init__(self) -> None:
        super().__init__(
            "Send the key as `Authorization: Bearer <key>` or as `X-API-Key: <key>`.",
            headers={"WWW-Authenticate": "Bearer"},
        )


class Forbidden(Problem):
    status, type, title = 403, "/problems/forbidden", "This is not allowed here"


class NotFound(Problem):
    status, type, title = 404, "/problems/not-found", "There is no such thing"


class BodyTooLarge(Problem):
    status, type, title = 413, "/problems/body-too-large", "The body is too large"


class Unprocessable(Problem):
    status, type, title = 422, "/problems/unprocessable", "Something in the request is not right"


class Unavailable(Problem):
    status, type, title = 503, "/problems/unavailable", "A part that is needed does not answer"

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


async def on_problem(request: Request, error: Exception) -> Response:
    """Starlette's handler of a Problem."""
    assert isinstance(error, Problem)
    return error.response()


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's handler of what its router raises: an unknown path, a method that a path does not have."""
    assert isinstance(error, HTTPException)
    document = ProblemDetails(
        "about:blank", error.detail, error.status_code, f"{request.method} {request.url.path}: see /docs"
    )
    return Response(msgspec.json.encode(document), error.status_code, error.headers, MEDIA_TYPE)


async def on_error(request: Request, error: Exception) -> Response:
    """Starlette's handler of anything else; what went wrong is in the log and not for callers."""
    return Problem("The server failed to answer; its log says why.").response()


def document(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
