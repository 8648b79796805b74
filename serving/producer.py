"""Writing to Kafka: nothing is claimed that the broker has not acknowledged."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from follow.connection import Connection
from schemas import codec
from schemas.events import Event
from schemas.topics import key_of, topic_of

log = logging.getLogger(__name__)

THREADS = 8
REFUSE_S = 1.0
"""for this long after a failed delivery, others are refused at once"""
GRACE_S = 1.0
"""for this long after its timeout, the client is waited for to say that a delivery has failed"""


class KafkaAway(Exception):
    """The broker does not acknowledge."""


class Place(NamedTuple):
    """Where an event is stored; `arrived` is the broker's clock, epoch ms."""

    topic: str
    partition: int
    offset: int
    arrived: int


class EventLog:
    """An idempotent producer with acks=all, made when it is first needed, and made anew after a failed delivery."""

    def __init__(self, connection: Connection, delivery_timeout_ms: float) -> None:
        self._connection = connection
        self._timeout_ms = int(delivery_timeout_ms)
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._suspect: KafkaProducer | None = None
        self._refuse_until = 0.0
        self._threads = ThreadPoolExecutor(THREADS, "kafka-send")

    async def append(self, events: Sequence[Event]) -> list[Place | None]:
        """Writes the events; for each its place, or None where the broker has not acknowledged it.

        Raises KafkaAway where none of them has been acknowledged.
        """
        self._refuse()
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        pending = _Pending(len(events), lambda: loop.call_soon_threadsafe(done.set))
        producer = await loop.run_in_executor(self._threads, self._send, events, pending)
        try:
            await asyncio.wait_for(done.wait(), self._timeout_ms / 1000 + GRACE_S)
        except TimeoutError:
            self._suspect = producer
        places = pending.places
        if not any(places):
            self._refuse_until = time.monotonic() + REFUSE_S
            raise KafkaAway("Kafka did not acknowledge in time")
        return places

    def send(self, event: Event) -> Any:
        """Hands over one event without waiting; a kafka-python future. May block for as long as the delivery
        timeout, so not for the event loop. Raises KafkaAway."""
        return self._hand_over(event)[0]

    def close(self) -> None:
        """Gives what is under way a moment to arrive."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._producer:
            _end(self._producer, 2)

    def _hand_over(self, event: Event) -> tuple[Any, KafkaProducer]:
        try:
            producer = self._open()
            sent = producer.send(topic_of(event), key=key_of(event), value=codec.encode(event))
        except (KafkaError, OSError, ValueError) as error:
            raise KafkaAway(str(error)) from error
        return sent.add_errback(self._suspicious, producer), producer

    def _send(self, events: Sequence[Event], pending: _Pending) -> KafkaProducer | None:
        """Returns the producer that took them."""
        producer: KafkaProducer | None = None
        for index, event in enumerate(events):
            try:
                future, producer = self._hand_over(event)
            except KafkaAway as error:
                log.warning("not sent: %s", error)
                for rest in range(index, len(events)):  # the others would wait as long, in vain
                    pending.failed(rest)
                break
            future.add_callback(pending.stored, index)
            future.add_errback(pending.failed, index)
        return producer

    def _refuse(self) -> None:
        if time.monotonic() < self._refuse_until:
            raise KafkaAway("Kafka did not acknowledge a moment ago")

    def _open(self) -> KafkaProducer:
        with self._lock:
            self._refuse()  # who has waited for somebody else's attempt need not make another
            if self._producer is not None and self._producer is self._suspect:
                # kafka-python's idempotent producer, once a batch that it has sent before expires, sends nothing
                # more and lets nothing else expire, even when the broker is back.
                _end(self._producer, 0)
                self._producer = None
            if self._producer is None:
                self._producer = self._made()
            return self._producer

    def _made(self) -> KafkaProducer:
        try:
            self._connection.reach()
            return KafkaProducer(
                **self._connection.kafka_python(),
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=min(2000, self._timeout_ms),
                max_block_ms=self._timeout_ms,
                request_timeout_ms=max(self._timeout_ms - 500, 500),
                delivery_timeout_ms=self._timeout_ms,
                reconnect_backoff_max_ms=1000,
            )
        except (KafkaError, OSError, ValueError):
            self._refuse_until = time.monotonic() + REFUSE_S
            raise

    def _suspicious(self, producer: KafkaProducer, error: Exception) -> None:
        self._suspect = producer


def _end(producer: KafkaProducer, patience_s: float) -> None:
    """Closes the producer; what is not delivered by then fails."""
    try:
        producer.close(timeout=patience_s)
    except KafkaError:
        # close() waits for deliveries first, and where those take too long it raises and closes nothing.
        producer._sender.force_close()


class _Pending:
    """Counts acknowledgements down; called from the producer's thread."""

    def __init__(self, n: int, finish: Callable[[], object]) -> None:
        self.places: list[Place | None] = [None] * n
        self._left = n
        self._lock = threading.Lock()
        self._finish = finish

    def stored(self, index: int, metadata: Any) -> None:
        self.places[index] = Place(metadata.topic, metadata.partition, metadata.offset, metadata.timestamp)
        self._count()

    def failed(self, index: int, error: Exception | None = None) -> None:
        if error is not None:
            log.warning("not acknowledged: %s", error)
        self._count()

    def _count(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._finish()
