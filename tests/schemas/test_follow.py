"""A follower's copy of compacted topics, against a real broker."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaConnectionError

from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from schemas import follow
from schemas.follow import Follower


@dataclass
class Copy:
    """What a follower was told, and a bell that rings at each change."""

    records: list[tuple[str, bytes, bytes | None]] = field(default_factory=list)
    idle: int = 0
    bell: threading.Condition = field(default_factory=threading.Condition)

    def on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        with self.bell:
            self.records.append((topic, key, value))
            self.bell.notify_all()

    def on_idle(self) -> None:
        with self.bell:
            self.idle += 1
            self.bell.notify_all()

    def wait(self, until: Callable[[], bool], seconds: float = 60) -> None:
        with self.bell:
            assert self.bell.wait_for(until, seconds), self.records


@dataclass(frozen=True)
class ConsumerRecord:
    """A record as kafka-python gives it."""

    offset: int
    topic: str = "items"
    value: bytes = b"v"

    @property
    def key(self) -> bytes:
        return str(self.offset).encode()


def create(kafka: str, *topics: str, partitions: int = 2) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics([NewTopic(t, partitions, 1) for t in topics], wait_for_metadata=True)
    admin.close()


def send(kafka: str, topic: str, *pairs: tuple[bytes | None, bytes | None]) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    for key, value in pairs:
        producer.send(topic, key=key, value=value)
    producer.flush()
    producer.close()


@contextmanager
def following(kafka: str, *topics: str) -> Iterator[tuple[Follower, Copy]]:
    copy = Copy()
    follower = Follower(kafka, topics, copy.on_record, copy.on_idle, poll_ms=50).start()
    try:
        yield follower, copy
    finally:
        follower.stop()
        assert not follower._thread.is_alive()


@pytest.fixture
def topics(stack: Stack) -> tuple[str, str]:
    names = (f"a-{uuid.uuid4().hex}", f"b-{uuid.uuid4().hex}")
    create(stack.settings.kafka, *names)
    return names


def test_all_that_is_there_then_all_that_comes(stack: Stack, topics: tuple[str, str]) -> None:
    a, b = topics
    there = [(f"k{n}".encode(), f"v{n}".encode()) for n in range(500)]
    send(stack.settings.kafka, a, *there)
    send(stack.settings.kafka, b, (b"k", b"v"))
    with following(stack.settings.kafka, a, b) as (follower, copy):
        assert follower.caught_up.wait(60)
        assert sorted(copy.records) == sorted([(a, *pair) for pair in there] + [(b, b"k", b"v")])
        send(stack.settings.kafka, a, (b"k1", b"changed"), (b"k1", None))
        copy.wait(lambda: len(copy.records) == 503)
        assert copy.records[-2:] == [(a, b"k1", b"changed"), (a, b"k1", None)]


def test_a_message_without_a_key_is_told_as_empty(stack: Stack, topics: tuple[str, str]) -> None:
    with following(stack.settings.kafka, *topics) as (follower, copy):
        assert follower.caught_up.wait(60)
        send(stack.settings.kafka, topics[0], (None, b"v"))
        copy.wait(lambda: copy.records == [(topics[0], b"", b"v")])


def test_an_empty_topic_is_caught_up_with(stack: Stack, topics: tuple[str, str]) -> None:
    with following(stack.settings.kafka, *topics) as (follower, copy):
        assert follower.caught_up.wait(60)
        seen = copy.idle
        copy.wait(lambda: copy.idle > seen + 2)  # it is called between polls, whether or not anything came
        assert copy.records == []


def test_a_topic_that_comes_later_is_waited_for(stack: Stack) -> None:
    late = f"late-{uuid.uuid4().hex}"
    with following(stack.settings.kafka, late) as (follower, copy):
        copy.wait(lambda: copy.idle >= 1)
        assert not follower.caught_up.is_set()
        create(stack.settings.kafka, late)
        send(stack.settings.kafka, late, (b"k", b"v"))
        copy.wait(lambda: copy.records == [(late, b"k", b"v")])
        assert follower.caught_up.wait(60)


class Flaky:
    """A consumer of one partition that fails at every third poll, after having given a few records."""

    log = tuple(ConsumerRecord(n) for n in range(50))
    made: ClassVar[list[Flaky]] = []
    polls = 0

    def __init__(self, **_: object) -> None:
        self.at, self.open = 0, True
        self.made.append(self)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def assign(self, partitions: list[TopicPartition]) -> None:
        (self.partition,) = partitions

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.at = offset

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {self.partition: len(self.log)}

    def position(self, partition: TopicPartition) -> int:
        return self.at

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        type(self).polls += 1
        if self.polls % 3 == 0:
            raise KafkaConnectionError("the broker has gone")
        records = self.log[self.at : self.at + 7]
        self.at += len(records)
        return {self.partition: list(records)} if records else {}

    def close(self) -> None:
        self.open = False


def test_what_was_read_is_not_read_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "KafkaConsumer", Flaky)
    monkeypatch.setattr(follow, "RETRY_S", 0.01)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        following(f"127.0.0.1:{server.getsockname()[1]}", "items") as (follower, copy),
    ):
        assert follower.caught_up.wait(30)
        assert [key for _, key, _ in copy.records] == [r.key for r in Flaky.log]
    assert len(Flaky.made) > 3
    assert not any(consumer.open for consumer in Flaky.made)


def test_no_broker_at_all_is_no_error_and_leaves_nothing_behind(unused_port: int) -> None:
    threads = threading.active_count()
    with following(f"127.0.0.1:{unused_port}", "items") as (follower, copy):
        copy.wait(lambda: copy.idle >= 3)
        assert not follower.caught_up.is_set()
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads


@pytest.fixture
def unused_port() -> int:
    return free_ports()["kafka_port"]
