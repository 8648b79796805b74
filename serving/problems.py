"""Errors as RFC 9457 problem documents, which name the parameter at fault and the fix.

Problem
├── BadRequest          400  the body as a whole cannot be read
├── Unauthorized        401
├── Forbidden           403  a setting of the server does not allow it
├── NotFound            404
├── SlowBody            408  the body did not arrive in time
├── Stale               412  the version that a change was made of is not in force any more
├── BodyTooLarge        413
├── UnsupportedBody     415  a type or an encoding of the body that is not read
├── Unprocessable       422  fields or parameters at fault, each named
├── VersionMissing      428  a change does not say which version it was made of
├── Overloaded          503  more requests than can be served; with Retry-After
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
    """A parameter or field at fault, and how to correct it. `index` is its place in a posted list."""

    name: str
    detail: str
    reason: str | None = None
    index: int | None = None


class ProblemDetails(Struct, frozen=True, omit_defaults=True):
    """A problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []


class Problem(Exception):
    """Root of the problems."""

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


WHERE_SET = (
    "Settings are read when the server starts: export them, or write them to `.env`, and start it anew by "
    "`freshet down --only server` and `freshet up`."
)


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
    status, type, title = 403, "/problems/forbidden", "The server is not set up to allow this"

    def __init__(self, detail: str) -> None:
        """`detail` names the setting that would allow it."""
        super().__init__(f"{detail} {WHERE_SET}")


class NotFound(Problem):
    status, type, title = 404, "/problems/not-found", "There is no such thing"


class SlowBody(Problem):
    status, type, title = 408, "/problems/slow-body", "The body did not arrive in time"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Connection": "close"})


class Stale(Problem):
    status, type, title = 412, "/problems/stale", "It has been changed meanwhile"


class BodyTooLarge(Problem):
    status, type, title = 413, "/problems/body-too-large", "The body is too large"


class UnsupportedBody(Problem):
    status, type, title = 415, "/problems/unsupported-body", "The body's type or encoding is not supported"


class Unprocessable(Problem):
    status, type, title = 422, "/problems/unprocessable", "Something in the request is not right"


class VersionMissing(Problem):
    status, type, title = 428, "/problems/version-missing", "The version is needed"


class Overloaded(Problem):
    status, type, title = 503, "/problems/overloaded", "More is asked than can be served"

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(f"{detail} Try again later.", headers={"Retry-After": str(retry_after_s)})


class Unavailable(Problem):
    status, type, title = 503, "/problems/unavailable", "A part that is needed does not answer"

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


async def on_problem(request: Request, error: Exception) -> Response:
    """Starlette's handler of a Problem."""
    assert isinstance(error, Problem)
    return error.response()


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's handler of its router's errors: an unknown path, or a method that the path does not have."""
    assert isinstance(error, HTTPException)
    document = ProblemDetails(
        "about:blank", error.detail, error.status_code, f"{request.method} {request.url.path}: see /docs"
    )
    return Response(msgspec.json.encode(document), error.status_code, error.headers, MEDIA_TYPE)


async def on_error(request: Request, error: Exception) -> Response:
    """Starlette's handler of any other exception: details go to the log, not to the caller."""
    return Problem("The server failed to answer; its log says why.").response()


def document(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")
