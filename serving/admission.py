"""ASGI middleware for admission control: limits the requests in work, those begun in one turn of the event loop, and
those that wait.

Reads and writes are admitted apart, each in order of arrival whatever the connection. What waits beyond the limits is
answered with 503 and Retry-After: a late refusal costs the caller more than an early one.

A feed may run from start to end without suspending. If all feeds that arrive together began in one turn of the loop, no
socket or timer would be served until the last was answered, and a write would wait for all of them several times. So
one read begins in every few turns: an empty turn takes microseconds, accepts one more connection, and advances each
write by a step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access import GUARDED
from serving.metrics import Metrics
from serving.problems import Overloaded

READS = ("GET", "HEAD")
READ_BY_POST = ("/v1/batch", "/v1/cart", "/v1/rank", "/v1/rules/try")
"""paths that write nothing: their question does not fit into a URL"""


class Pace(NamedTuple):
    """Limits how many requests begin within a number of turns of the event loop."""

    requests: int
    turns: int


class Lane:
    """A bounded number of requests in work and a bounded first-in, first-out queue with a deadline."""

    def __init__(self, name: str, in_work: int, pace: Pace, queue: int, wait_s: float, metrics: Metrics) -> None:
        self._limit = in_work
        self._pace = pace
        self._queue = queue
        self._wait_s = wait_s
        self._in_work = 0
        self._begun = 0
        self._turns = 0
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._full = metrics.shed.labels(name, "queue_full")
        self._late = metrics.shed.labels(name, "deadline")
        metrics.in_work.labels(name).set_function(lambda: self._in_work)
        metrics.queued.labels(name).set_function(lambda: len(self._waiting))

    async def enter(self) -> None:
        """Returns when the request may begin; the caller must call `leave` after it. Raises Overloaded."""
        if not self._waiting and self._has_room():
            self._begin()
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
                self.leave()  # it was admitted, and is gone
            raise
        finally:
            deadline.cancel()

    def leave(self) -> None:
        """Admits the request that has waited longest."""
        self._in_work -= 1
        if self._waiting:
            self._turn_soon()

    def _has_room(self) -> bool:
        return self._in_work < self._limit and self._begun < self._pace.requests

    def _begin(self) -> None:
        self._in_work += 1
        self._begun += 1
        self._turn_soon()

    def _turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turns += 1
        self._turning = False
        if self._begun and self._turns < self._pace.turns:
            self._turn_soon()
            return
        self._begun = self._turns = 0
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begin()

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
        reads = scope["method"] in READS or scope["path"] in READ_BY_POST
        lane = self._reads if reads else self._writes
        try:
            await lane.enter()
        except Overloaded as problem:
            await problem.response()(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            lane.leave()
