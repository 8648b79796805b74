"""Writing to Kafka: what is not acknowledged is not claimed, and a client that cannot deliver leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import psutil
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from follow.connection import Connection
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from schemas import codec
from schemas.topics import INTERACTIONS
from serving import people
from serving import producer as module
from serving.producer import EventLog, KafkaAway, Place
from tests.serving.made import click

NOBODY = Connection(f"127.0.0.1:{free_ports()['kafka_port']}")


class Client:
    """A KafkaProducer: messages of `deaf` keys are never answered, of `broken` ones fail."""

    made: ClassVar[list[Client]] = []
    deaf: ClassVar[set[bytes]] = set()
    broken: ClassVar[set[bytes]] = set()

    def __init__(self, **config: Any) -> None:
        self.closed = False
        self._sender = self
        self.made.append(self)

    def send(self, topic: str, key: bytes, value: bytes) -> Future:
        error = KafkaTimeoutError("expired") if key in self.broken else None
        return Future(None if key in self.deaf else (topic, error))

    def close(self, timeout: float) -> None:
        raise KafkaTimeoutError("there is something under way")

    def force_close(self) -> None:
        self.closed = True


class Future:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def add_callback(self, call: Any, *args: Any) -> Future:
        if self._answer and not self._answer[1]:
            call(*args, Metadata(self._answer[0]))
        return self

    def add_errback(self, call: Any, *args: Any) -> Future:
        if self._answer and self._answer[1]:
            call(*args, self._answer[1])
        return self


class Metadata:
    partition, offset, timestamp = 0, 7, 1

    def __init__(self, topic: str) -> None:
        self.topic = topic


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> EventLog:
    """An event log over a fake client that waits for 50 ms at most."""
    monkeypatch.setattr(module, "KafkaProducer", Client)
    monkeypatch.setattr(Connection, "reach", lambda connection: None)
    monkeypatch.setattr(module, "GRACE_S", 0.0)
    monkeypatch.setattr(module, "REFUSE_S", 0.0)
    for name, value in (("made", []), ("deaf", set()), ("broken", set())):
        monkeypatch.setattr(Client, name, value)
    return EventLog(Connection("fake:9092"), 50)


def append(log: EventLog, *users: str) -> list[bool]:
    """For each user's event whether it is stored."""
    events = [click(f"e{n}", user) for n, user in enumerate(users)]
    return [place is not None for place in asyncio.run(log.append(events))]


def test_places_are_those_that_the_broker_named(log: EventLog) -> None:
    assert asyncio.run(log.append([click()])) == [Place("interactions", 0, 7, 1)]
    assert append(log, "u1", "u2") == [True, True]
    assert len(Client.made) == 1, "one client for all"


@pytest.mark.parametrize("how", ["deaf", "broken"])
def test_what_fails_is_not_claimed_and_its_client_is_replaced(log: EventLog, how: str) -> None:
    getattr(Client, how).add(b"u2")
    assert append(log, "u1", "u2", "u3") == [True, False, True]
    assert append(log, "u1") == [True]
    old, new = Client.made
    assert old.closed
    assert not new.closed


@pytest.mark.parametrize("how", ["deaf", "broken"])
def test_where_nothing_is_acknowledged_kafka_is_away(log: EventLog, how: str) -> None:
    getattr(Client, how).add(b"u2")
    with pytest.raises(KafkaAway):
        append(log, "u2", "u2")
    assert append(log, "u1") == [True]


def test_after_a_failure_others_are_refused_at_once_for_a_moment(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSE_S", 60.0)
    Client.broken.add(b"u2")
    with pytest.raises(KafkaAway):
        append(log, "u2")
    with pytest.raises(KafkaAway, match="a moment ago"):
        append(log, "u1")


def test_closing_does_not_fail_where_something_is_under_way(log: EventLog) -> None:
    append(log, "u1")
    log.close()
    assert Client.made[0].closed


# -- no broker -------------------------------------------------------------------------------------


def test_trying_in_vain_leaves_no_socket_and_no_thread() -> None:
    log = EventLog(NOBODY, 500)

    def left() -> tuple[int, int]:
        return psutil.Process().num_fds(), threading.active_count()

    with pytest.raises(KafkaAway):
        log.send(click())
    assert people.latest(NOBODY) == []
    before = left()
    for _ in range(5):
        with pytest.raises(KafkaAway):
            log.send(click())
        assert people.latest(NOBODY) == []
    assert all(now <= then for now, then in zip(left(), before, strict=True))  # of other tests some may end now


# -- a broker --------------------------------------------------------------------------------------


def test_what_is_claimed_is_there(stack: Stack) -> None:
    log = EventLog(stack.settings.connection, 10_000)
    events = [click(f"claimed-{n}", f"u{n % 7}") for n in range(50)]
    places = asyncio.run(log.append(events))
    consumer = KafkaConsumer(bootstrap_servers=stack.settings.kafka, enable_auto_commit=False)
    for event, place in zip(events, places, strict=True):
        assert place is not None
        partition = TopicPartition(INTERACTIONS, place.partition)
        consumer.assign([partition])
        consumer.seek(partition, place.offset)
        record = next(consumer)
        assert (record.offset, record.timestamp) == (place.offset, place.arrived)
        assert codec.decode(INTERACTIONS, record.value) == event
    consumer.close()
    log.close()
