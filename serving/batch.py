"""POST /v1/batch: several requests that read, answered in one."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope

from schemas.faults import field_of
from serving.body import JSON, read_object
from serving.endpoint import Endpoint
from serving.hydrated_once import one_hydration
from serving.problems import Fault, NotFound, Problem, Unprocessable, document, on_error, on_http_exception
from serving.routing import Resource, resources
from serving.services import Services

log = logging.getLogger(__name__)

MOST = 16
LONGEST = 16_384
"""characters of a path: a cursor alone may have 6,500"""
PATH = "/v1/batch"
URL_PATH = re.compile(r"/v1/[\x21-\x7e]*")
READ = ("/v1/users/", "/v1/items/", "/v1/trending")
"""beginnings of the paths whose GETs may be in a batch"""
READ_BY_POST = ("/v1/cart", "/v1/rank")
WHAT = (
    f"up to {MOST} requests, each an object: `path` with its query, as `/v1/users/u1/feed?n=5`; `method`, GET unless "
    f"given; `body` of a POST. What may be asked: GET of {', '.join(READ)} …, POST of {', '.join(READ_BY_POST)}"
)


class Batch(Struct, forbid_unknown_fields=True, frozen=True):
    """Requests; each is checked on its own."""

    requests: Annotated[list[Any], Meta(min_length=1, max_length=MOST, description=WHAT)]


class BatchRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """One request of a batch."""

    path: Annotated[str, Meta(max_length=LONGEST)]
    method: Literal["GET", "POST"] = "GET"
    body: dict[str, Any] | None = None


class BatchEntry(Struct, frozen=True):
    """What the request by itself would have been answered: the status, and the document, which is a problem where the
    status is 400 or more."""

    status: int
    body: dict[str, Any]


class BatchAnswer(Struct, frozen=True):
    """One entry for each request, in their order."""

    answers: list[BatchEntry]


class _Entry(Struct, frozen=True):
    """A BatchEntry whose document is encoded already."""

    status: int
    body: Raw


class _Encoded(Struct, frozen=True):
    answers: list[_Entry]


class Batches:
    """One endpoint over the others. It counts as one request for admission: MOST bounds what it may ask."""

    def __init__(self, services: Services, endpoints: Sequence[Endpoint]) -> None:
        """`endpoints` are all that the server has; those that write are refused."""
        self._settings = services.settings
        self._resources = [each for each in resources(_readable(endpoints)) if isinstance(each, Resource)]

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                method="POST", path=PATH, name="batch", summary="Several requests in one", handler=self.batch,
                body=Batch, answer=BatchAnswer, problems=(400, 408, 413, 415, 422),
            )
        ]  # fmt: skip

    async def batch(self, request: Request) -> Response:
        """Answers one request after the other; other requests to the server go on in between."""
        batch = await read_object(request, Batch, "a batch", self._settings)
        answers: list[_Entry] = []
        with one_hydration():
            for given in batch.requests:
                answer = await self._answer(request, given)
                answers.append(_Entry(answer.status_code, Raw(bytes(answer.body))))
                await asyncio.sleep(0)
        return document(_Encoded(answers))

    async def _answer(self, request: Request, given: Any) -> Response:
        try:
            asked = _read(given)
            inner = _request(request, asked)
            endpoint = self._endpoint(asked, inner)
            answer = await endpoint.handler(inner)
            if answer.background is not None:
                await answer.background()
            return answer
        except Problem as problem:
            return problem.response()
        except HTTPException as error:
            return await on_http_exception(inner, error)
        except Exception as error:  # one request must not fail the others
            log.exception("a request of a batch failed")
            return await on_error(request, error)

    def _endpoint(self, asked: BatchRequest, inner: Request) -> Endpoint:
        for resource in self._resources:
            match, found = resource.matches(inner.scope)
            if match.value:
                endpoint = resource.endpoints.get(asked.method)
                if endpoint is None:
                    raise HTTPException(405)
                inner.scope.update(found)
                return endpoint
        raise NotFound(
            f"{inner.url.path}: a batch has no such path. It takes GET of {', '.join(READ)} …, and POST of "
            f"{', '.join(READ_BY_POST)}."
        )


def _readable(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    return [
        each
        for each in endpoints
        if (each.method == "GET" and each.path.startswith(READ))
        or (each.method == "POST" and each.path in READ_BY_POST)
    ]


def _read(given: Any) -> BatchRequest:
    """Raises Unprocessable."""
    try:
        found = msgspec.convert(given, BatchRequest)
    except msgspec.ValidationError as error:
        field, detail = field_of(error)
        detail = detail.replace("this event", "a request of a batch")
        raise Unprocessable(f"{field or 'request'}: {detail}", [Fault(field or "request", detail)]) from None
    if not URL_PATH.fullmatch(found.path):
        detail = "must begin with /v1/, and be encoded as in a URL"
        raise Unprocessable(f"path: {detail}", [Fault("path", detail)])
    if (found.method == "POST") is not (found.body is not None):
        detail = "is needed for a POST" if found.method == "POST" else "is for a POST: leave it out, or set the method"
        raise Unprocessable(f"body: {detail}", [Fault("body", detail)])
    return found


def _request(outer: Request, asked: BatchRequest) -> Request:
    """The request as if it had come by itself, with the outer one's headers but for those of its body."""
    path, _, query = asked.path.partition("?")
    body = b"" if asked.body is None else msgspec.json.encode(asked.body)
    headers = [
        (name, value)
        for name, value in outer.scope["headers"]
        if name not in (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
    ]
    if asked.body is not None:
        headers += [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode())]
    scope: Scope = {
        **{name: value for name, value in outer.scope.items() if name != "freshet.segments"},
        "method": asked.method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": headers, "path_params": {},
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)
