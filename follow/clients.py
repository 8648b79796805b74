"""Makes kafka-python consumers that read by offset, without a group, and with time-outs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from follow.connection import Connection

PATIENCE_MS = 5_000
"""how long one request may take; Kafka's own 30 s would hold up whatever waits for the answer"""

_Client = KafkaConsumer.DEFAULT_CONFIG["kafka_client"]


def consumer(connection: Connection, patience_ms: int = PATIENCE_MS, **others: Any) -> KafkaConsumer:
    """A consumer without a group. Raises OSError or KafkaError where no broker can be reached, or none accepts it."""
    connection.reach()
    made: list[Any] = []

    def client(**config: Any) -> Any:
        made.append(_Client(**config))
        return made[-1]

    try:
        return KafkaConsumer(
            **connection.kafka_python(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=patience_ms,
            bootstrap_timeout_ms=patience_ms,
            kafka_client=client,
            **others,
        )
    except BaseException:
        for each in made:  # or each attempt would leave a thread and its sockets behind
            each.close()
        raise


def partitions(client: KafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
    """The partitions of those of the topics that exist."""
    return [
        TopicPartition(topic, number) for topic in topics for number in sorted(client.partitions_for_topic(topic) or ())
    ]
