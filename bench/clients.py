"""HTTP clients for measurements: raw HTTP/1.1 over asyncio, since a client's own time is part of each sample."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec
import psutil
import uvloop
from msgspec import Struct

from bench.quiet import quiet

SHOWN = 20
CLOSED = -1
"""status of a request that got no answer: the server closed the connection, or said nothing for PATIENCE_S"""
PATIENCE_S = 60.0
Result = TypeVar("Result")


class Reply(NamedTuple):
    """An answer, and the milliseconds from the request to its last byte. `retry_after` is in seconds."""

    status: int
    ms: float
    body: bytes
    retry_after: float | None


class FeedBody(Struct):
    """The fields of a feed's answer that benchmarks read."""

    items: list[Any]
    degraded: list[str] = []


class FeedAnswers(NamedTuple):
    """Milliseconds of whole feeds, the stages that fell back, and answers that were no whole feed, by reason."""

    ms: list[float]
    fell_back: Counter[str]
    bad: Counter[str]


class HttpConnection:
    """One keep-alive connection, opened again where the server closes it."""

    def __init__(self, host: str, port: int, api_key: str = "") -> None:
        self._host, self._port = host, port
        self._fields = f"X-API-Key: {api_key}\r\n" if api_key else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """One request and its answer; status CLOSED where there is none."""
        started = time.perf_counter()
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n{self._fields}"
        if body:
            head += "Content-Type: application/json\r\n"
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(self._host, self._port)
                reader, writer = self._streams
                writer.write(f"{head}\r\n".encode() + body)
                status, fields = head_of(await reader.readuntil(b"\r\n\r\n"))
                content = await reader.readexactly(int(fields.get("content-length", "0")))
        except (OSError, asyncio.IncompleteReadError):  # a TimeoutError is an OSError
            await self.close()
            return Reply(CLOSED, _since(started), b"", None)
        if fields.get("connection", "").lower() == "close":
            await self.close()
        return Reply(status, _since(started), content, _seconds(fields.get("retry-after")))

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def head_of(head: bytes) -> tuple[int, dict[str, str]]:
    """(status, fields by lower-case name) of an answer's head."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.replace(".", "", 1).isdigit() else None


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def run(work: Callable[[], Awaitable[Result]], core: int | None = None) -> Result:
    """Runs `work` under uvloop in this process, on the processor `core` where one is given."""
    quiet()
    process = psutil.Process()
    process.cpu_affinity([core] if core is not None else list(range(psutil.cpu_count() or 1)))

    async def main() -> Result:
        return await work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def feeds(
    host: str, ports: Sequence[int], users: Sequence[str], connections: int, seconds: float, core: int | None = None
) -> FeedAnswers:
    """Feeds of users at random over `connections` connections, spread over the ports, each of which sends the
    next request as soon as it is answered. Runs in a separate process."""
    return run(lambda: _feeds(host, ports, users, connections, seconds), core)


async def _feeds(
    host: str, ports: Sequence[int], users: Sequence[str], connections: int, seconds: float
) -> FeedAnswers:
    found = FeedAnswers([], Counter(), Counter())
    until = time.perf_counter() + seconds
    who = _endless(users)

    async def one(port: int) -> None:
        connection = HttpConnection(host, port)
        while time.perf_counter() < until:
            take(found, await connection.ask("GET", feed_path(next(who))))
        await connection.close()

    await asyncio.gather(*(one(ports[k % len(ports)]) for k in range(connections)))
    return found


def feed_path(user_id: str) -> str:
    return f"/v1/users/{user_id}/feed?n={SHOWN}"


_DECODE = msgspec.json.Decoder(FeedBody).decode


def take(found: FeedAnswers, reply: Reply) -> None:
    """Adds an answer to the samples, or its fault to the faults."""
    if reply.status != 200:
        found.bad[f"status {reply.status}"] += 1
        return
    answer = _DECODE(reply.body)
    if len(answer.items) != SHOWN:
        found.bad["incomplete"] += 1
        return
    found.ms.append(reply.ms)
    found.fell_back.update(answer.degraded)


def _endless(users: Sequence[str]) -> Iterator[str]:
    chance = random.Random(6)
    while True:
        yield chance.choice(users)
