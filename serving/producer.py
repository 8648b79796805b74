"""Writes events to Kafka; an event counts as stored when the broker has acknowledged it.

The client is librdkafka: its network threads run outside Python's interpreter lock. Delivery reports are collected on
the event loop, so that no Python thread competes with the requests that the loop answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from follow.connection import Connection
from schemas import codec
from schemas.topics import PARTITIONER, AvroRecord, key_of, topic_of

log = logging.getLogger(__name__)

MAX_QUEUE_KB = 64 * 1024
REFUSE_S = 1.0
"""After a failed delivery, events are refused without an attempt for this long."""
GRACE_S = 2.0
"""librdkafka looks for expired messages once a second: its report may come this long after the timeout."""
POLL_S = 0.001
IDLE_POLL_S = 0.25
"""with nothing under way, for errors of the client itself"""
CONNECT_S = 0.5
CLOSE_S = 2.0
"""how long messages under way have to be acknowledged when the log is closed"""
ALONE = 16
"""Up to this many events are encoded on the event loop, more of them in a thread."""

Done = Callable[["Place | None"], None]


class KafkaAway(Exception):
    """The broker does not acknowledge."""


class TooLarge(Exception):
    """The message is larger than the broker accepts."""


class Place(NamedTuple):
    """Where an event is stored; `arrived` is the broker's clock, epoch ms."""

    topic: str
    partition: int
    offset: int
    arrived: int


class EventProducer:
    """An idempotent producer with acks=all. All methods are called in the event loop's thread, and none of them blocks.

    The client is made with the first event. It reconnects by itself; after a fatal error it is replaced.
    """

    def __init__(self, connection: Connection, delivery_timeout_ms: float) -> None:
        self._connection = connection
        self._timeout_ms = int(delivery_timeout_ms)
        self._producer: Producer | None = None
        self._polling: asyncio.TimerHandle | None = None
        self._refuse_until = 0.0
        self._unreachable = False
        self._fatal = False

    async def append(self, events: Sequence[AvroRecord]) -> list[Place | None]:
        """Writes the events; for each its place, or None where the broker has not acknowledged it.

        Raises KafkaAway where none of them has been acknowledged.
        """
        if self._unreachable and not await self._listens():
            self._refuse_until = time.monotonic() + REFUSE_S
        values = await asyncio.to_thread(_encoded, events) if len(events) > ALONE else _encoded(events)
        pending = _Pending(len(events))
        for index, event in enumerate(events):
            try:
                self._produce(event, values[index], pending.report(index))
            except TooLarge as error:
                log.warning("not sent: %s", error)
                pending.report(index)(None)
            except KafkaAway as error:
                log.warning("not sent: %s", error)
                if index == 0:
                    raise
                pending.give_up(index)
                break
        try:
            async with asyncio.timeout(self._timeout_ms / 1000 + GRACE_S):
                await pending.done.wait()
        except TimeoutError:
            log.warning("no delivery report within %d ms", self._timeout_ms)
        places = pending.places
        if not any(places):
            self._refuse_until = time.monotonic() + REFUSE_S
            raise KafkaAway("Kafka did not acknowledge in time")
        return places

    def send(self, event: AvroRecord, done: Done) -> None:
        """Hands one event over and returns. `done` is called once, with the place or with None where the broker has not
        acknowledged it; the event may still be stored then, so a retry must use the same id.

        Raises KafkaAway or TooLarge where the event was not queued; `done` is not called then.
        """
        self._produce(event, codec.encode(event), done)

    def _produce(self, event: AvroRecord, value: bytes, done: Done) -> None:
        if time.monotonic() < self._refuse_until:
            raise KafkaAway("Kafka did not acknowledge a moment ago")
        producer = self._open()
        topic = topic_of(event)
        try:
            producer.produce(topic, value, key_of(event), on_delivery=_report(topic, done))
        except BufferError as error:
            raise KafkaAway(f"the queue to Kafka is full: {error}") from None
        except KafkaException as error:
            fault = error.args[0]
            if fault.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise TooLarge(str(error)) from error
            self._fatal = self._fatal or fault.fatal()
            raise KafkaAway(str(error)) from error
        self._poll_within(POLL_S)

    async def close(self) -> None:
        """Waits a short time for pending deliveries; reports the rest as not acknowledged."""
        producer, self._producer = self._producer, None
        if self._polling:
            self._polling.cancel()
            self._polling = None
        if producer:
            deadline = time.monotonic() + CLOSE_S
            try:
                while len(producer) and time.monotonic() < deadline:
                    _collect(producer)
                    await asyncio.sleep(POLL_S)
            finally:
                _end(producer)

    def _open(self) -> Producer:
        if self._producer is not None and self._fatal:
            _end(self._producer)
            self._producer, self._fatal = None, False
        if self._producer is None:
            self._producer = Producer(self._settings())
        return self._producer

    def _settings(self) -> dict[str, Any]:
        return {
            **self._connection.librdkafka(),
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": PARTITIONER,
            "linger.ms": 0,
            "message.max.bytes": codec.MAX_MESSAGE_BYTES,
            "queue.buffering.max.kbytes": MAX_QUEUE_KB,
            "message.timeout.ms": self._timeout_ms,
            "request.timeout.ms": max(self._timeout_ms - 500, 500),
            "socket.nagle.disable": True,
            "socket.keepalive.enable": True,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 2,  # what goes wrong is reported to `_on_error` and with each delivery
            "error_cb": self._on_error,
        }

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = True
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._unreachable = True
        log.warning("Kafka's client: %s", error)

    async def _listens(self) -> bool:
        """Whether any broker accepts connections: a check of a millisecond, where a delivery takes seconds to fail."""
        for address in self._connection.bootstrap.split(","):
            host, _, port = address.strip().rpartition(":")
            try:
                async with asyncio.timeout(CONNECT_S):
                    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            except (OSError, ValueError, TimeoutError):
                continue
            writer.close()
            self._unreachable = False
            return True
        return False

    # -- delivery reports ---------------------------------------------------------------------------

    def _poll_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._polling and not self._polling.cancelled():
            if self._polling.when() <= loop.time() + seconds:
                return
            self._polling.cancel()
        self._polling = loop.call_later(seconds, self._poll)

    def _poll(self) -> None:
        self._polling = None
        if self._producer is None:
            return
        _collect(self._producer)
        self._poll_within(POLL_S if len(self._producer) else IDLE_POLL_S)


def _encoded(events: Sequence[AvroRecord]) -> list[bytes]:
    return [codec.encode(event) for event in events]


def _report(topic: str, done: Done) -> Callable[[KafkaError | None, Message], None]:
    def report(error: KafkaError | None, message: Message) -> None:
        partition, offset, (_, arrived) = message.partition(), message.offset(), message.timestamp()
        # A batch that was stored twice over a broken connection may be acknowledged without its offset.
        if error is not None or offset is None or offset < 0 or partition is None:
            log.warning("not acknowledged: %s", error or "no offset in the report")
            done(None)
        else:
            done(Place(topic, partition, offset, arrived))

    return report


def _end(producer: Producer) -> None:
    """Drops undelivered messages, with a report for each."""
    producer.purge()
    for _ in range(len(producer) + 1):  # a callback that raises ends one poll
        _collect(producer)
        if not len(producer):
            return


def _collect(producer: Producer) -> None:
    """Calls back for the reports that are there."""
    try:
        producer.poll(0)
    except Exception:  # a callback's fault must not end the reports of everybody else
        log.exception("a delivery report failed")


class _Pending:
    """Counts the delivery reports of one request down."""

    def __init__(self, n: int) -> None:
        self.places: list[Place | None] = [None] * n
        self.done = asyncio.Event()
        self._left = n

    def report(self, index: int) -> Done:
        def done(place: Place | None) -> None:
            self.places[index] = place
            self._count(1)

        return done

    def give_up(self, start: int) -> None:
        """Counts the events from `start` on as not acknowledged: no report will come for them."""
        self._count(len(self.places) - start)

    def _count(self, n: int) -> None:
        self._left -= n
        if self._left == 0:
            self.done.set()
