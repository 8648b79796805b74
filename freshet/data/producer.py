"""A Kafka producer that reports every message which the broker did not acknowledge."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from freshet.errors import StackError
from freshet.settings import Settings

_DELIVERY_SECONDS = 30


class BrokerGone(StackError):
    """Kafka cannot be reached, or stopped acknowledging."""


class Producer:
    """Sends in the background; `flush` returns when the broker has acknowledged everything sent before."""

    def __init__(self, settings: Settings, acknowledged: Callable[[Any], None] | None = None) -> None:
        """`acknowledged` is called with topic, partition and offset of each acknowledged message, in the
        producer's thread."""
        from kafka import KafkaProducer
        from kafka.errors import KafkaError

        self._error: type[Exception] = KafkaError
        self._failure: Exception | None = None
        self._acknowledged = acknowledged
        try:
            self._kafka = KafkaProducer(
                **settings.connection.kafka_python(),
                acks="all",
                linger_ms=5,
                batch_size=64 * 1024,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=5000,
                max_block_ms=_DELIVERY_SECONDS * 1000,
                request_timeout_ms=10_000,
                delivery_timeout_ms=_DELIVERY_SECONDS * 1000,
            )
        except KafkaError as error:
            raise BrokerGone(f"no Kafka at {settings.kafka}: is the stack up? (`freshet up`)") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._kafka.close(timeout=0 if error else _DELIVERY_SECONDS)
        except self._error as late:
            if error is None:  # else what went wrong first is what there is to say
                raise BrokerGone(f"Kafka stopped acknowledging: {late}") from late

    def send(self, topic: str, key: bytes, value: bytes, done: Callable[[], None] | None = None) -> None:
        """Queue one message. Raises BrokerGone when an earlier one could not be delivered."""
        self._check()
        try:
            sent = self._kafka.send(topic, key=key, value=value)
        except self._error as error:
            raise BrokerGone(f"Kafka does not take messages of {topic}: {error}") from error
        sent.add_errback(self._failed)
        if self._acknowledged:
            sent.add_callback(self._acknowledged)
        if done:
            sent.add_callback(lambda _: done())

    def flush(self) -> None:
        try:
            self._kafka.flush(timeout=_DELIVERY_SECONDS)
        except self._error as error:
            raise BrokerGone(f"Kafka stopped acknowledging: {error}") from error
        self._check()

    def _failed(self, error: Exception) -> None:
        self._failure = error

    def _check(self) -> None:
        if self._failure:
            raise BrokerGone(f"Kafka stopped acknowledging: {self._failure}") from self._failure
