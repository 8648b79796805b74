"""The measuring HTTP client against a server with scripted answers."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from bench import clients, ingest
from bench.clients import CLOSED, SHOWN, FeedAnswers, HttpConnection, Reply, head_of

Answer = Callable[[int, bytes], bytes | None]


def served(answer: Answer, work: Callable[[int], Awaitable[object]]) -> object:
    """Runs `work(port)` against a server: `answer(number, head)` is what the request gets, None closes."""

    async def main() -> object:
        numbers = itertools.count()
        handlers: set[asyncio.Task[None]] = set()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            handlers.add(task)
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(int(head_of(b"HTTP/1.1 200 x\r\n" + head)[1].get("content-length", 0)))
                    found = answer(next(numbers), head)
                    if found is None:
                        break
                    writer.write(found)
            except asyncio.IncompleteReadError:
                pass
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            found = await work(server.sockets[0].getsockname()[1])
            await asyncio.gather(*handlers)
            return found

    return asyncio.run(main())


def answer(status: int, body: bytes = b"", *fields: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *fields])
    return f"{head}\r\n\r\n".encode() + body


def test_an_answer_is_read_whole() -> None:
    async def work(port: int) -> list[Reply]:
        connection = HttpConnection("127.0.0.1", port)
        found = [await connection.ask("POST", "/x", b"{}"), await connection.ask("GET", "/y")]
        await connection.close()
        return found

    script = [answer(202, b"abc"), answer(503, b"", "Retry-After: 2")]
    first, second = served(lambda number, _: script[number], work)  # type: ignore[misc]
    assert (first.status, first.body, first.retry_after) == (202, b"abc", None)
    assert (second.status, second.retry_after) == (503, 2.0)
    assert first.ms > 0


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PATIENCE_S", 0.05)

    async def work(port: int) -> list[int]:
        connection = HttpConnection("127.0.0.1", port)
        async with asyncio.timeout(5):
            found = [(await connection.ask("GET", "/")).status for _ in range(2)]
        await connection.close()
        return found

    script = [b"", answer(200)]
    assert served(lambda number, _: script[number], work) == [CLOSED, 200]


def test_a_closed_connection_is_reported_and_opened_again() -> None:
    async def work(port: int) -> list[int]:
        connection = HttpConnection("127.0.0.1", port)
        found = [(await connection.ask("GET", "/")).status for _ in range(4)]
        await connection.close()
        return found

    script = [None, answer(200), answer(200, b"", "HttpConnection: close"), answer(200)]
    assert served(lambda number, _: script[number], work) == [CLOSED, 200, 200, 200]


@pytest.mark.parametrize(
    ("reply", "ms", "bad"),
    [
        (Reply(200, 3.0, b'{"items": [' + b",".join([b"{}"] * SHOWN) + b"]}", None), [3.0], {}),
        (Reply(200, 3.0, b'{"items": []}', None), [], {"incomplete": 1}),
        (Reply(503, 3.0, b"", 1.0), [], {"status 503": 1}),
    ],
)
def test_only_whole_feeds_are_samples(reply: Reply, ms: list[float], bad: dict[str, int]) -> None:
    found = FeedAnswers([], Counter(), Counter())
    clients.take(found, reply)
    assert found == (ms, Counter(), Counter(bad))


def test_stages_that_fell_back_are_counted() -> None:
    found = FeedAnswers([], Counter(), Counter())
    body = b'{"degraded": ["store"], "items": [' + b",".join([b"{}"] * SHOWN) + b"]}"
    clients.take(found, Reply(200, 1.0, body, None))
    assert found.fell_back == {"store": 1}


def test_answers_count_what_was_refused_and_how() -> None:
    found = ingest.Answers()
    for status, retry_after in ((202, None), (503, 1.0), (503, None), (500, None), (CLOSED, None)):
        found.take(Reply(status, 4.0, b"", retry_after), 5.0)
    assert found.ms == [5.0]
    assert found.statuses == {202: 1, 503: 2, 500: 1, CLOSED: 1}
    assert found.with_retry_after == 1
    assert found.failed == {503: 1, 500: 1, CLOSED: 1}


def test_the_slowest_connection_and_the_longest_answer() -> None:
    by_connection = [[10.0, 10.0], [10.0], [20.0, 60.0], []]
    assert ingest.spread(by_connection) == (4.0, 6.0)
    assert ingest.spread([[], []]) == (None, None)


@pytest.mark.parametrize(("call", "method"), [(ingest.post, "POST"), (ingest.get, "GET")])
def test_requests_are_of_the_users_and_items(call: ingest.Call, method: str) -> None:
    found, path, body = call(random.Random(1), ["u1"], ["i1"])
    assert found == method
    assert ("u1" in path) is (method == "GET")
    assert (b'"i1"' in body) is (method == "POST")


def test_many_connections_wait_as_long_as_a_refusal_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "run", lambda work, core=None: work())

    async def work(port: int) -> ingest.Answers:
        found: ingest.Answers = await ingest.many(  # type: ignore[misc]
            "127.0.0.1", port, ["u1"], ["i1"], ingest.post, 3, 0.25
        )
        return found

    found = served(lambda number, _: answer(503, b"", "Retry-After: 0.2") if number < 3 else answer(202), work)
    assert isinstance(found, ingest.Answers)
    assert found.statuses[503] == found.with_retry_after == 3
    assert len(found.by_connection) == 3
    assert sum(map(len, found.by_connection)) == len(found.ms) == found.statuses[202] > 0
    assert found.statuses.total() < 3000, "a refused connection has not waited"


def test_a_steady_rate_counts_from_when_a_request_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "run", lambda work, core=None: work())

    async def work(port: int) -> ingest.Answers:
        return await ingest.steady("127.0.0.1", port, ["u1"], ["i1"], ingest.get, 100.0, 0.2)  # type: ignore[misc]

    found = served(lambda *_: answer(200), work)
    assert isinstance(found, ingest.Answers)
    assert found.statuses == {200: 20}
    assert all(ms > 0 for ms in found.ms)
