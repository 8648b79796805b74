"""Reads the body of a request: JSON, plain or gzip, of limited size and within limited time."""

from __future__ import annotations

import asyncio
import zlib
from typing import TypeVar

import msgspec
from starlette.requests import Request

from schemas.faults import field_of
from serving.problems import BadRequest, BodyTooLarge, Fault, SlowBody, Unprocessable, UnsupportedBody
from serving.settings import ServingSettings

T = TypeVar("T")
JSON = "application/json"
GZIP = 16 + zlib.MAX_WBITS


async def read_body(request: Request, limit: int, wait_s: float) -> bytes:
    """The body, decompressed; at most `limit` bytes.

    The content type JSON is required: a page of another origin may send other types without a CORS preflight. Raises
    UnsupportedBody, BodyTooLarge, SlowBody or BadRequest.
    """
    unpack = _decompressor(request)
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(wait_s):
            async for chunk in request.stream():
                if unpack is not None:
                    chunk = _unpacked(unpack, chunk, limit - size + 1)
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise SlowBody(f"The body took more than {wait_s:g} s; send less at a time.") from None
    if unpack is not None and not unpack.eof:
        raise BadRequest("The gzip body ends before its time.")
    return b"".join(chunks)


async def read_object(request: Request, kind: type[T], name: str, settings: ServingSettings) -> T:
    """The body as an object of `kind`, which errors call `name`. Raises Unprocessable, and as `read_body`."""
    body = await read_body(request, settings.body_limit, settings.body_wait_s)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        field, detail = field_of(error)
        detail = detail.replace("this event", name)
        raise Unprocessable(f"{field or 'body'}: {detail}", [Fault(field or "body", detail)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None


def _decompressor(request: Request) -> zlib._Decompress | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        given = repr(kind[:100]) if kind else "missing"
        raise UnsupportedBody(f"The content type is {given}; send `Content-Type: {JSON}`.", headers={"Accept": JSON})
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedBody(
            f"The content encoding {encoding[:100]!r} is not supported; send the body as it is or as gzip.",
            headers={"Accept-Encoding": "gzip"},
        )
    return zlib.decompressobj(GZIP) if encoding == "gzip" else None


def _unpacked(unpack: zlib._Decompress, chunk: bytes, most: int) -> bytes:
    """Up to `most` bytes of what the chunk holds: a small body may unpack to gigabytes."""
    try:
        found = unpack.decompress(chunk, most)
    except zlib.error as error:
        raise BadRequest(f"The body is not gzip: {error}") from None
    if unpack.unused_data:
        raise BadRequest("There is something behind the end of the gzip body.")
    return found


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The limit is {limit} bytes, once it is decompressed; send less at a time.")
