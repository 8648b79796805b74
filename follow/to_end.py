"""Reading topics from their start to their end as of now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from follow import clients
from follow.connection import Connection
from schemas.errors import FreshetError

POLL_MS = 500
PATIENCE_S = 10.0
"""how long a broker may say nothing before it is taken for gone"""


class KafkaUnreadable(FreshetError):
    """The broker cannot be reached, or stopped answering before the end was read."""


class Message(NamedTuple):
    """One record; a `value` of None is a tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    arrived: int = 0
    """the broker's time, epoch ms"""


def read(
    connection: Connection, topics: Iterable[str], last: int | None = None, patience_s: float = PATIENCE_S
) -> Iterator[Message]:
    """Every message that the topics hold now, topic by topic, each partition in its order; with `last`, no more than
    about so many of each topic, the latest. A topic that does not exist is empty.

    Raises KafkaUnreadable where the broker cannot be reached, or gives nothing for `patience_s`.
    """
    try:
        client = clients.consumer(connection, int(patience_s * 1000))
    except (KafkaError, OSError, ValueError) as error:
        raise KafkaUnreadable(f"Kafka at {connection}: {error or type(error).__name__}; is it up?") from None
    try:
        for topic in topics:
            yield from _topic(client, topic, last, patience_s)
    except (KafkaError, OSError) as error:
        raise KafkaUnreadable(f"Kafka at {connection}: {error or type(error).__name__}") from None
    finally:
        client.close()


def _topic(client: KafkaConsumer, topic: str, last: int | None, patience_s: float) -> Iterator[Message]:
    partitions = clients.partitions(client, [topic])
    if not partitions:
        return
    client.assign(partitions)
    ends = client.end_offsets(partitions)
    client.seek_to_beginning(*partitions)
    if last is not None:
        for partition, end in ends.items():
            client.seek(partition, max(client.position(partition), end - last // len(partitions) - 1))
    answered = time.monotonic()
    # Positions, not messages, say when the end is reached: compaction and transactions leave gaps.
    while left := [p for p in partitions if client.position(p) < ends[p]]:
        batch = client.poll(timeout_ms=POLL_MS, max_records=5000)
        if batch:
            answered = time.monotonic()
        elif time.monotonic() - answered > patience_s:
            raise KafkaUnreadable(f"topic {topic}: no answer for partition {left[0].partition}")
        for partition, records in batch.items():
            for r in records:
                if r.offset < ends[partition]:
                    yield Message(topic, partition.partition, r.offset, r.key, r.value, r.timestamp)
