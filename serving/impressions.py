"""The log of lists as they were shown: a bounded queue between the feeds and Kafka."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from follow.loop import Loop, LoopHealth
from schemas.events import Event, Impression
from serving.producer import KafkaAway, Place

log = logging.getLogger(__name__)

EVERY_S = 0.05
MAX_IN_FLIGHT = 500
BACKOFF_S = 0.5
MAX_BACKOFF_S = 10.0
STOP_S = 2.0


class Sends(Protocol):
    """The part of an EventLog that is used here."""

    def send(self, event: Event, done: Callable[[Place | None], None]) -> None: ...


class ImpressionLog:
    """Writes impressions to Kafka in the background, in order of arrival.

    An impression leaves the queue when the broker has acknowledged it. While Kafka is away all of them stay queued and
    are sent again with a growing pause. Only where the queue is full is an impression dropped, and counted: the newest,
    so that a feed never waits. One that is sent again after its report was lost may be stored twice under one
    request_id; the job deduplicates it.
    """

    def __init__(self, log: Sends, size: int, count: Callable[[str, int], None], backoff_s: float = BACKOFF_S) -> None:
        """`count(result, n)` is called with "stored", "dropped", and "retried" for each round that failed."""
        self._log = log
        self._size = size
        self._count = count
        self._backoff_s = backoff_s
        self._waiting: deque[Impression] = deque()
        self._in_flight: dict[int, Impression] = {}
        self._number = 0
        self._pause_s = 0.0
        self._paused_until = 0.0
        self._failed: dict[int, Impression] = {}
        self._task: asyncio.Task[None] | None = None
        self._step = Loop("impressions", self._send_waiting)

    @property
    def health(self) -> LoopHealth:
        return self._step.health

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight) + len(self._failed)

    def start(self) -> None:
        """Begins to write; needs a running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="impressions")

    async def stop(self) -> None:
        """Gives what is queued a moment to be stored; counts the rest as dropped."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while len(self):
                    self._step.run_once()
                    await asyncio.sleep(EVERY_S / 10)
        if len(self):
            self._count("dropped", len(self))

    def put(self, impression: Impression) -> None:
        """Queues one impression, or drops it where the queue is full."""
        if len(self) < self._size:
            self._waiting.append(impression)
        else:
            self._count("dropped", 1)

    def forget(self, user_id: str) -> None:
        """Drops a person's impressions that are queued, since the person has withdrawn consent. Those that are on their
        way to Kafka are refused by the job."""
        self._waiting = deque(each for each in self._waiting if each.user_id != user_id)
        self._failed = {number: each for number, each in self._failed.items() if each.user_id != user_id}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._step.run_once()

    def _send_waiting(self) -> None:
        if asyncio.get_running_loop().time() < self._paused_until:
            return
        for number in sorted(self._failed, reverse=True):  # sent again first, in their order
            self._waiting.appendleft(self._failed.pop(number))
        while self._waiting and len(self._in_flight) < MAX_IN_FLIGHT:
            impression, number = self._waiting.popleft(), self._number
            self._number += 1
            self._in_flight[number] = impression
            try:
                self._log.send(impression, partial(self._reported, number))
            except KafkaAway as error:
                self._waiting.appendleft(self._in_flight.pop(number))
                self._back_off()
                log.warning("%d impressions wait for Kafka: %s", len(self), error)
                return
            except Exception as error:  # it would fail again, and hold up all behind it
                self._in_flight.pop(number, None)
                self._step.note(error, "an impression was lost")
                self._count("dropped", 1)

    def _reported(self, number: int, place: Place | None) -> None:
        impression = self._in_flight.pop(number)
        if place is None:
            self._failed[number] = impression
            self._back_off()
        else:
            self._pause_s = 0.0
            self._count("stored", 1)

    def _back_off(self) -> None:
        """Doubles the pause, once for all failures of one round."""
        now = asyncio.get_running_loop().time()
        if now >= self._paused_until:
            self._pause_s = min(max(self._backoff_s, 2 * self._pause_s), MAX_BACKOFF_S)
            self._paused_until = now + self._pause_s
            self._count("retried", 1)
