"""A follower's copy of compacted topics, against a real broker."""

from __future__ import annotations

import gc
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaConnectionError

from follow import clients, loop
from follow import follower as module
from follow.connection import Connection
from follow.follower import Follower
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings


@dataclass
class Copy:
    """What a follower has read, and a bell that rings at each change. It raises for values of b"bad"."""

    records: list[tuple[str, bytes, bytes | None]] = field(default_factory=list)
    read: int = 0
    """how often everything had been read"""
    bell: threading.Condition = field(default_factory=threading.Condition)

    def on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        if value == b"bad":
            raise ArithmeticError("a record that cannot be taken")
        with self.bell:
            self.records.append((topic, key, value))
            self.bell.notify_all()

    def on_caught_up(self) -> None:
        self.read += 1

    def wait(self, until: Callable[[], bool], seconds: float = 60) -> None:
        with self.bell:
            assert self.bell.wait_for(until, seconds), self.records


@dataclass(frozen=True)
class ConsumerRecord:
    """A record as kafka-python gives it."""

    offset: int
    topic: str = "items"
    value: bytes = b"v"
    partition: int = 0

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
    follower = Follower(Connection(kafka), topics, copy.on_record, copy.on_caught_up, poll_ms=50).start()
    try:
        yield follower, copy
    finally:
        follower.stop()
        assert not follower._loop.alive


@pytest.fixture
def topics(stack: Stack) -> tuple[str, str]:
    names = (f"a-{uuid.uuid4().hex}", f"b-{uuid.uuid4().hex}")
    create(stack.settings.kafka, *names)
    return names


def test_small_fetches_are_some_time_apart_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [100.0], list[float]()
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", slept.append)
    found: list[dict[Any, list[Any]]] = []
    consumer: Any = SimpleNamespace(poll=lambda **_: found.pop(0), assignment=lambda: ())
    for pause_s, wanted in ((0.02, [0.0, 0.0, 0.015, 0.0]), (0.0, [0.0] * 4)):
        found[:] = [{}, {TopicPartition("a", 0): [ConsumerRecord(0)]}, {}, {}]
        slept.clear()
        follower = Follower(Connection("nowhere:1"), ["a"], Copy().on_record, pause_s=pause_s)
        for step in (0.0, 0.0, 0.005, 0.5):
            now[0] += step
            follower._poll(consumer)
        assert slept == pytest.approx(wanted)


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


def test_an_empty_topic_is_caught_up_with_once(stack: Stack, topics: tuple[str, str]) -> None:
    with following(stack.settings.kafka, *topics) as (follower, copy):
        assert follower.caught_up.wait(60)
        send(stack.settings.kafka, topics[0], (b"k", b"v"))
        copy.wait(lambda: len(copy.records) == 1)
        assert copy.read == 1
        assert (follower.health.up, follower.health.errors) == (True, 0)


def test_a_topic_that_comes_later_is_waited_for_and_the_others_are_read(stack: Stack) -> None:
    there, late = f"there-{uuid.uuid4().hex}", f"late-{uuid.uuid4().hex}"
    create(stack.settings.kafka, there)
    send(stack.settings.kafka, there, (b"k", b"v"))
    with following(stack.settings.kafka, there, late) as (follower, copy):
        copy.wait(lambda: copy.records == [(there, b"k", b"v")])
        assert late in follower.health.last_error
        assert not follower.caught_up.is_set()
        create(stack.settings.kafka, late)
        send(stack.settings.kafka, late, (b"k", b"v"))
        copy.wait(lambda: copy.records == [(there, b"k", b"v"), (late, b"k", b"v")])
        assert follower.caught_up.wait(60)


def test_partitions_that_are_added_are_read_without_a_new_connection(
    stack: Stack, topics: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    consumer = clients.consumer

    def counted(*args: Any, **others: Any) -> object:
        made.append(consumer(*args, **others))
        return made[-1]

    monkeypatch.setattr(clients, "consumer", counted)
    monkeypatch.setattr(module, "CHECK_S", 0.5)
    kafka = stack.settings.kafka
    with following(kafka, topics[0]) as (follower, copy):
        assert follower.caught_up.wait(60)
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        admin.create_partitions({topics[0]: 4})
        admin.close()
        producer = KafkaProducer(bootstrap_servers=kafka, acks="all", metadata_max_age_ms=100)
        for partition in range(4):
            deadline = time.monotonic() + 30
            while partition not in (producer.partitions_for(topics[0]) or ()):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            producer.send(topics[0], key=b"k", value=str(partition).encode(), partition=partition)
        producer.flush()
        producer.close()
        copy.wait(lambda: sorted(value or b"" for *_, value in copy.records) == [b"0", b"1", b"2", b"3"])
        assert len(made) == 1
        assert follower.health.errors == 0


def test_a_record_that_cannot_be_taken_is_skipped_and_counted(stack: Stack, topics: tuple[str, str]) -> None:
    send(stack.settings.kafka, topics[0], (b"k", b"1"), (b"k", b"bad"), (b"k", b"2"), (b"k", b"bad"), (b"k", b"3"))
    with following(stack.settings.kafka, topics[0]) as (follower, copy):
        assert follower.caught_up.wait(60)
        assert [value for *_, value in copy.records] == [b"1", b"2", b"3"]
        assert (follower.health.up, follower.health.errors) == (True, 2)
        assert f"{topics[0]}, partition" in follower.health.last_error


def test_what_is_done_at_the_end_may_fail_and_is_done_again(stack: Stack, topics: tuple[str, str]) -> None:
    tries: list[str] = []

    def finish() -> None:
        tries.append("")
        if len(tries) < 3:
            raise RuntimeError("not yet")

    copy = Copy()
    follower = Follower(Connection(stack.settings.kafka), topics, copy.on_record, finish, poll_ms=50).start()
    send(stack.settings.kafka, topics[0], (b"k", b"v"))
    wait(lambda: len(tries) == 3 and len(copy.records) == 1)
    follower.stop()
    assert copy.records == [(topics[0], b"k", b"v")]


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_goes_away_is_said_and_reading_goes_on_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.5)
    settings = Settings(home=tmp_path_factory.mktemp("away"), **free_ports())
    with Stack(settings, report=print) as broker:
        broker.up(["kafka"])
        create(settings.kafka, "followed")
        send(settings.kafka, "followed", (b"k", b"1"))
        with following(settings.kafka, "followed") as (follower, copy):
            assert follower.caught_up.wait(60)
            broker.kill("kafka")
            wait(lambda: not follower.health.up)
            broker.up(["kafka"])
            send(settings.kafka, "followed", (b"k", b"2"))
            copy.wait(lambda: len(copy.records) == 2)
            wait(lambda: follower.health.up)
            assert [value for *_, value in copy.records] == [b"1", b"2"]
            assert follower.health.errors >= 1
    gc.collect()  # kafka-python leaves sockets of attempts to connect to the collector, which warns of them


def wait(until: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Flaky:
    """A consumer of one partition that fails at every third poll, after having given a few records."""

    log = tuple(ConsumerRecord(n) for n in range(50))
    made: ClassVar[list[Flaky]] = []
    polls = 0

    def __init__(self, **_: object) -> None:
        self.at, self.open = 0, True
        self.assigned: set[TopicPartition] = set()
        self.made.append(self)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = set(partitions)
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
    monkeypatch.setattr(clients, "KafkaConsumer", Flaky)
    monkeypatch.setattr(loop, "FIRST_RETRY_S", 0.01)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        following(f"127.0.0.1:{server.getsockname()[1]}", "items") as (follower, copy),
    ):
        assert follower.caught_up.wait(30)
        assert [key for _, key, _ in copy.records] == [r.key for r in Flaky.log]
    assert len(Flaky.made) > 3
    assert not any(consumer.open for consumer in Flaky.made)


class Still:
    """A consumer of two topics, of 2 and 3 partitions with 1,000 records each, that gives none of them."""

    begun: ClassVar[dict[TopicPartition, int]] = {}

    def __init__(self, **_: object) -> None:
        self.assigned: set[TopicPartition] = set()

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range({"a": 2, "b": 3}[topic]))

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = set(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.begun[partition] = offset

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 1000)

    def position(self, partition: TopicPartition) -> int:
        return self.begun[partition]

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        return {}

    def close(self) -> None: ...


def test_of_each_topic_so_many_of_the_latest_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "KafkaConsumer", Still)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection(f"127.0.0.1:{server.getsockname()[1]}")
        follower = Follower(connection, ["a", "b"], Copy().on_record, poll_ms=5, last=600).start()
        wait(lambda: len(Still.begun) == 5)
        follower.stop()
    assert {(each.topic, each.partition): first for each, first in Still.begun.items()} == {
        ("a", 0): 700, ("a", 1): 700, ("b", 0): 800, ("b", 1): 800, ("b", 2): 800
    }  # fmt: skip


def test_with_times_the_time_of_each_record_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    class One(Still):
        def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
            time.sleep(0.001)
            record = SimpleNamespace(topic="a", partition=0, offset=7, key=b"k", value=None, timestamp=1234)
            return {TopicPartition("a", 0): [record]}

    monkeypatch.setattr(clients, "KafkaConsumer", One)
    found: list[tuple[Any, ...]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection(f"127.0.0.1:{server.getsockname()[1]}")
        follower = Follower(connection, ["a"], lambda *of: found.append(of), poll_ms=5, times=True).start()
        wait(lambda: len(found) > 1)
        follower.stop()
    assert found[0] == ("a", b"k", None, 1234)


def test_no_broker_at_all_is_said_and_leaves_nothing_behind(unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FIRST_RETRY_S", 0.05)
    threads = threading.active_count()
    with following(f"127.0.0.1:{unused_port}", "items") as (follower, _):
        wait(lambda: follower.health.errors >= 3)
        assert not follower.health.up
        assert "refused" in follower.health.last_error
        assert not follower.caught_up.is_set()
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads


@pytest.fixture
def unused_port() -> int:
    return free_ports()["kafka_port"]
