"""Lists as they were shown, on their way to Kafka: off the request's path, in a queue of limited length."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from schemas.events import Event, Impression
from serving.producer import KafkaAway

log = logging.getLogger(__name__)

EVERY_S = 0.05


class Sends(Protocol):
    """The part of an EventLog that is needed here."""

    def send(self, event: Event) -> Any: ...


class ImpressionLog:
    """Sends impressions from a thread of its own. Where too many wait they are dropped and counted: a feed never waits
    for its record.

    The thread looks by the clock: woken by each impression, it would compete for the interpreter with the
    answer that has just been made, and Kafka would get messages one by one.
    """

    def __init__(self, log: Sends, size: int, count: Callable[[str, int], None]) -> None:
        """`count(result, n)` hears of "stored", "failed" and "dropped" ones."""
        self._log = log
        self._size = size
        self._waiting: deque[Impression] = deque()
        self._stopping = threading.Event()
        self._count = count
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for a moment for what has been put."""
        self._stopping.set()
        self._thread.join(timeout=2)

    def put(self, impression: Impression) -> None:
        """Hands over the impression."""
        if len(self._waiting) < self._size:
            self._waiting.append(impression)
        else:
            self._count("dropped", 1)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(EVERY_S)
            while self._waiting:
                self._send(self._waiting.popleft())

    def _send(self, impression: Impression) -> None:
        try:
            sent = self._log.send(impression)
        except KafkaAway as error:
            log.warning("an impression was lost: %s", error)
            self._count("failed", 1)
            return
        sent.add_callback(lambda _: self._count("stored", 1))
        sent.add_errback(lambda _: self._count("failed", 1))
