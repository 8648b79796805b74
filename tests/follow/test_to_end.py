"""Reading topics to their end as of now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from follow import clients, to_end
from follow.connection import Connection
from follow.to_end import KafkaUnreadable, Message
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from tests.follow.test_follower import topics  # noqa: F401 (a fixture)

NOWHERE = Connection("kafka:9092")


class Record(NamedTuple):
    offset: int
    value: bytes | None
    key: bytes = b"k"
    timestamp: int = 0


class Consumer:
    """Two partitions: the first has a gap in its offsets and a tombstone and grows while it is read."""

    def __init__(self, stuck: bool = False) -> None:
        self.at = {0: 0, 1: 0}
        self.closed = False
        self.error: Exception | None = None
        self.batches: list[Any] = (
            [] if stuck else [(0, [(0, b"a"), (3, None)], 4), (1, [(0, b"b")], 1), (0, [(4, b"later")], 5)]
        )

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1} if topic == "items" else None

    def assign(self, partitions: Any) -> None: ...

    def seek_to_beginning(self, *partitions: Any) -> None: ...

    def end_offsets(self, partitions: Any) -> dict[Any, int]:
        return {p: (4, 1)[p.partition] for p in partitions}

    def position(self, partition: Any) -> int:
        return self.at[partition.partition]

    def poll(self, timeout_ms: int, max_records: int) -> dict[Any, list[Record]]:
        if self.error:
            raise self.error
        if not self.batches:
            return {}
        partition, records, self.at[partition] = self.batches.pop(0)
        return {TopicPartition("items", partition): [Record(*r) for r in records]}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Consumer]:
    found = Consumer()
    monkeypatch.setattr(clients, "consumer", lambda *_: found)
    yield found
    assert found.closed


def test_messages_up_to_the_end_as_it_was(consumer: Consumer) -> None:
    assert list(to_end.read(NOWHERE, ["absent", "items"])) == [
        Message("items", 0, 0, b"k", b"a"), Message("items", 0, 3, b"k", None), Message("items", 1, 0, b"k", b"b"),
    ]  # fmt: skip


def test_a_broker_that_stops_answering(consumer: Consumer) -> None:
    consumer.batches = []
    with pytest.raises(KafkaUnreadable, match="no answer for partition 0"):
        list(to_end.read(NOWHERE, ["items"], patience_s=0.01))


def test_a_broker_that_goes_away(consumer: Consumer) -> None:
    consumer.error = KafkaTimeoutError("no metadata")
    with pytest.raises(KafkaUnreadable, match="Kafka at kafka:9092"):
        list(to_end.read(NOWHERE, ["items"]))


def test_no_broker_at_all() -> None:
    with pytest.raises(KafkaUnreadable, match="refused"):
        list(to_end.read(Connection(f"127.0.0.1:{free_ports()['kafka_port']}"), ["items"]))


def test_all_or_the_last_of_a_real_topic(stack: Stack, topics: tuple[str, str]) -> None:  # noqa: F811
    connection, topic = stack.settings.connection, topics[0]
    producer = KafkaProducer(**connection.kafka_python())
    for n in range(100):
        producer.send(topic, value=str(n).encode(), key=str(n).encode(), partition=n % 2)
    producer.flush()
    producer.close()
    found = list(to_end.read(connection, [topic]))
    assert sorted(int(message.value or b"") for message in found) == list(range(100))
    assert all(message.key == message.value for message in found)
    last = [int(message.value or b"") for message in to_end.read(connection, [topic], last=10)]
    assert sorted(last) == list(range(88, 100))
