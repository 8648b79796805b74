"""Lists as they were shown, on their way to Kafka: off the request's path, in a queue of limited length."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from follow.loop import Loop, LoopHealth
from schemas.events import Event, Impression

EVERY_S = 0.05
STOP_S = 2.0


class Sends(Protocol):
    """The part of an EventLog that is needed here."""

    def send(self, event: Event) -> Any: ...


class ImpressionLog:
    """Sends impressions from a thread of its own. Where too many wait they are dropped and counted: a feed never waits
    for its record.

    The thread sends every EVERY_S: notified of each impression, it would compete for the interpreter with the answer
    that has just been made, and Kafka would get messages one by one.
    """

    def __init__(self, log: Sends, size: int, count: Callable[[str, int], None]) -> None:
        """`count(result, n)` counts "stored", "failed" and "dropped" ones."""
        self._log = log
        self._size = size
        self._waiting: deque[Impression] = deque()
        self._count = count
        self._loop = Loop("impressions", self._drain, EVERY_S, longest_s=EVERY_S, finishes=True)

    @property
    def health(self) -> LoopHealth:
        return self._loop.health

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Waits for a moment for what has been put."""
        self._loop.stop(STOP_S)

    def put(self, impression: Impression) -> None:
        """Hands over the impression."""
        if len(self._waiting) < self._size:
            self._waiting.append(impression)
        else:
            self._count("dropped", 1)

    def _drain(self) -> None:
        while self._waiting:
            self._send(self._waiting.popleft())

    def _send(self, impression: Impression) -> None:
        try:
            sent = self._log.send(impression)
        except Exception as error:  # whatever it is of, it is of this one: the others are sent
            self._loop.note(error, "an impression was lost")
            self._count("failed", 1)
            return
        sent.add_callback(lambda _: self._count("stored", 1))
        sent.add_errback(lambda _: self._count("failed", 1))
