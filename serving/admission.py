"""ASGI middleware: how many requests are in work at once, how many wait, and for how long.

Reads and writes are admitted apart, each in order of arrival whatever the connection. What waits beyond the limits is
answered with 503 and Retry-After: a late refusal costs the caller more than an early one. A feed is work for one
processor, so a few in work at once give the same throughput as many, and leave the event loop to writes between them.
"""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.metrics import Metrics
from serving.problems import Overloaded

GUARDED = "/v1/"
READS = ("GET", "HEAD")


class Lane:
    """A bounded number of requests in work and a bounded first-in, first-out queue with a deadline."""

    def __init__(self, name: str, in_work: int, queue: int, wait_s: float, metrics: Metrics) -> None:
        self._limit = in_work
        self._queue = queue
        self._wait_s = wait_s
        self._in_work = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._full = metrics.shed.labels(name, "queue_full")
        self._late = metrics.shed.labels(name, "deadline")
        metrics.in_work.labels(name).set_function(lambda: self._in_work)
        metrics.queued.labels(name).set_function(lambda: len(self._waiting))

    async def enter(self) -> None:
        """Returns when the request's turn has come; `leave` must follow. Raises Overloaded."""
        if self._in_work < self._limit and not self._waiting:
            self._in_work += 1
            return
        if len(self._waiting) >= self._queue:
            self._full.inc()
            raise Overloaded("Too many requests wait already.")
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        deadline = loop.call_later(self._wait_s, self._expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # the turn came and the request is gone
            raise
        finally:
            deadline.cancel()

    def leave(self) -> None:
        """Gives the place to whoever has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._in_work -= 1

    def _expire(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._late.inc()
            self._waiting.remove(turn)  # all wait equally long, so it is the first or nearly
            turn.set_exception(Overloaded(f"The request has waited for {self._wait_s:g} s and was not begun."))


class Admission:
    """Admits calls under /v1/; health, metrics and pages are always answered."""

    def __init__(self, app: ASGIApp, reads: Lane, writes: Lane) -> None:
        self._app = app
        self._reads = reads
        self._writes = writes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        lane = self._reads if scope["method"] in READS else self._writes
        try:
            await lane.enter()
        except Overloaded as problem:
            await problem.response()(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            lane.leave()
