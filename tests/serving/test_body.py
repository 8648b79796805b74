"""Bodies: JSON by their content type, plain or gzip, no larger and no slower than the limits."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.serving.made import Api
from tests.serving.test_ingest import event, stored

JSON = {"Content-Type": "application/json"}
SMALL = gzip.compress(b"{}", mtime=0)
PACKED = JSON | {"Content-Encoding": "gzip"}


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path, body_limit=4096, body_wait_s=0.1)
    yield api
    api.close()


def post(api: Api, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return api.ask("POST", "/v1/events", content=body, headers=headers)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken(api: Api, kind: str) -> None:
    assert post(api, msgspec.json.encode(event()), {"Content-Type": kind}).status_code == 202


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "application/jsonp"],
)
def test_another_content_type_is_refused_as_a_page_may_send_it_without_a_preflight(api: Api, kind: str) -> None:
    answer = post(api, msgspec.json.encode(event()), {"Content-Type": kind} if kind else {})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-body")
    assert "Content-Type: application/json" in answer.json()["detail"]
    assert answer.headers["Accept"] == "application/json"
    assert stored(api) == []


def test_a_gzip_body_is_taken(api: Api) -> None:
    body = gzip.compress(msgspec.json.encode([event(f"e{n}") for n in range(500)]))
    assert post(api, body, PACKED).json()["accepted"] == 500
    assert len(stored(api)) == 500


def test_the_limit_is_of_what_it_unpacks_to(narrow: Api) -> None:
    body = msgspec.json.encode(event())
    assert post(narrow, gzip.compress(body + b" " * (4096 - len(body))), PACKED).status_code == 202
    assert post(narrow, gzip.compress(body + b" " * (4097 - len(body))), PACKED).status_code == 413


def test_a_small_body_does_not_unpack_to_gigabytes(api: Api) -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    assert len(bomb) < 1 << 18
    tracemalloc.start()
    assert post(api, bomb, PACKED).status_code == 413
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", SMALL[:-1], SMALL[:5], SMALL + b"x", SMALL[:-8] + bytes(8)],
)  # fmt: skip
def test_what_is_no_gzip_is_a_bad_request(api: Api, body: bytes) -> None:
    assert post(api, body, PACKED).json()["type"] == "/problems/bad-request"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_another_encoding_names_the_one_that_is_read(api: Api, encoding: str) -> None:
    answer = post(api, b"{}", JSON | {"Content-Encoding": encoding})
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "gzip")


def test_a_body_that_does_not_arrive_gives_its_place_up(narrow: Api) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    answer = narrow.ask("POST", "/v1/events", content=slow(), headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (408, "/problems/slow-body")
