"""Lists as they were shown, on their way to Kafka: off the request's path, in a queue of limited length."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from schemas.events import Event, Impression
from serving.producer import KafkaAway

log = logging.getLogger(__name__)


class Sends(Protocol):
    """The part of an EventLog that is needed here."""

    def send(self, event: Event) -> Any: ...


class ImpressionLog:
    """Sends impressions from a thread of its own. Where the queue is full they are dropped and counted: a feed
    never waits for its record."""

    def __init__(self, log: Sends, size: int, count: Callable[[str, int], None]) -> None:
        """`count(result, n)` hears of "stored", "failed" and "dropped" ones."""
        self._log = log
        self._queue: queue.Queue[Impression | None] = queue.Queue(size)
        self._count = count
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for a moment for what is queued."""
        try:
            self._queue.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(timeout=2)

    def put(self, impression: Impression) -> None:
        """Queues the impression."""
        try:
            self._queue.put_nowait(impression)
        except queue.Full:
            self._count("dropped", 1)

    def _run(self) -> None:
        while (impression := self._queue.get()) is not None:
            try:
                sent = self._log.send(impression)
            except KafkaAway as error:
                log.warning("an impression was lost: %s", error)
                self._count("failed", 1)
                continue
            sent.add_callback(lambda _: self._count("stored", 1))
            sent.add_errback(lambda _: self._count("failed", 1))
