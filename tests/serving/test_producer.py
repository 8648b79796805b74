"""Writing to Kafka: what is not acknowledged is not claimed, and a broker that goes away leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import confluent_kafka
import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.partitioner import murmur2

from follow import to_end
from follow.connection import Connection
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from schemas import codec
from schemas.events import Impression
from schemas.topics import IMPRESSIONS, INTERACTIONS, PARTITIONER
from serving import producer as module
from serving import profiles
from serving.impressions import ImpressionLog
from serving.producer import EventProducer, KafkaAway, Place
from tests.serving.made import NOW, click

NOBODY = Connection(f"127.0.0.1:{free_ports()['kafka_port']}")


class Report:
    def __init__(self, offset: int = 7) -> None:
        self._offset = offset

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, 1


class Client:
    """A librdkafka producer: messages of `deaf` keys are never reported, of `broken` ones fail, of `unplaced` ones are
    acknowledged without an offset; `refused` says what produce() raises."""

    made: ClassVar[list[Client]] = []
    deaf: ClassVar[set[bytes]] = set()
    broken: ClassVar[set[bytes]] = set()
    unplaced: ClassVar[set[bytes]] = set()
    refused: ClassVar[dict[bytes, Exception]] = {}

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.purged = settings, False
        self._reports: list[Callable[[], None]] = []
        self.made.append(self)

    def __len__(self) -> int:
        return len(self._reports)

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Callable[[Any, Report], None]) -> None:
        if key in self.refused:
            raise self.refused[key]
        if key in self.deaf:
            return
        error = KafkaError(KafkaError._MSG_TIMED_OUT) if key in self.broken else None
        report = Report(-1001 if key in self.unplaced else 7)
        self._reports.append(lambda: on_delivery(error, report))

    def poll(self, seconds: float) -> int:
        served = 0
        while self._reports:
            self._reports.pop(0)()  # one that raises ends the poll; the others stay for the next
            served += 1
        return served

    def purge(self) -> None:
        self.purged = True


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> EventProducer:
    """An event log over a fake client that waits for 50 ms at most."""
    monkeypatch.setattr(module, "Producer", Client)
    monkeypatch.setattr(module, "GRACE_S", 0.0)
    monkeypatch.setattr(module, "REFUSE_S", 0.0)
    for name, value in (("made", []), ("deaf", set()), ("broken", set()), ("unplaced", set()), ("refused", {})):
        monkeypatch.setattr(Client, name, value)
    return EventProducer(Connection("fake:9092"), 50)


def append(log: EventProducer, *users: str) -> list[bool]:
    """For each user's event whether it is stored."""
    events = [click(f"e{n}", user) for n, user in enumerate(users)]
    log._polling = None  # of the loop before
    return [place is not None for place in asyncio.run(log.append(events))]


def test_places_are_those_that_the_broker_named(log: EventProducer) -> None:
    assert asyncio.run(log.append([click()])) == [Place("interactions", 0, 7, 1)]
    assert append(log, "u1", "u2") == [True, True]
    assert len(Client.made) == 1, "one client for all"


@pytest.mark.parametrize("how", ["deaf", "broken", "unplaced"])
def test_what_fails_is_not_claimed(log: EventProducer, how: str) -> None:
    getattr(Client, how).add(b"u2")
    assert append(log, "u1", "u2", "u3") == [True, False, True]
    assert append(log, "u1") == [True]


@pytest.mark.parametrize("how", ["deaf", "broken"])
def test_where_nothing_is_acknowledged_kafka_is_away(log: EventProducer, how: str) -> None:
    getattr(Client, how).add(b"u2")
    with pytest.raises(KafkaAway):
        append(log, "u2", "u2")
    assert append(log, "u1") == [True]


def test_a_message_that_is_too_large_is_not_a_broker_that_is_away(log: EventProducer) -> None:
    Client.refused[b"u2"] = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    assert append(log, "u1", "u2", "u3") == [True, False, True]


def test_a_full_queue_refuses_the_rest(log: EventProducer) -> None:
    Client.refused[b"u2"] = BufferError("Local: Queue full")
    assert append(log, "u1", "u2", "u3") == [True, False, False]
    with pytest.raises(KafkaAway, match="full"):
        append(log, "u2")


def test_a_client_with_a_fatal_error_is_replaced(log: EventProducer) -> None:
    fatal = KafkaError(KafkaError._FATAL, "out of sequence", fatal=True)
    Client.refused[b"u2"] = KafkaException(fatal)
    with pytest.raises(KafkaAway):
        append(log, "u2")
    assert append(log, "u1") == [True]
    old, new = Client.made
    assert (old.purged, new.purged) == (True, False)
    new.settings["error_cb"](fatal)
    assert append(log, "u1") == [True]
    assert len(Client.made) == 3


def test_after_a_failure_others_are_refused_at_once_for_a_moment(
    log: EventProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSE_S", 60.0)
    Client.broken.add(b"u2")
    with pytest.raises(KafkaAway):
        append(log, "u2")
    with pytest.raises(KafkaAway, match="a moment ago"):
        append(log, "u1")


def test_a_broken_report_does_not_end_the_others(log: EventProducer, caplog: pytest.LogCaptureFixture) -> None:
    def broken(place: Place | None) -> None:
        raise RuntimeError("of somebody else")

    async def both() -> list[Place | None]:
        log.send(click("e0", "u0"), broken)
        await asyncio.sleep(0.05)
        return await log.append([click("e1", "u1")])

    assert asyncio.run(both()) == [Place("interactions", 0, 7, 1)]
    assert "of somebody else" in caplog.text


def test_closing_reports_what_is_under_way(log: EventProducer) -> None:
    found: list[Place | None] = []

    async def close() -> None:
        log.send(click(), found.append)
        await log.close()

    asyncio.run(close())
    assert found == [Place("interactions", 0, 7, 1)]
    assert Client.made[0].purged


def test_closing_gives_each_its_report_where_one_of_them_fails(log: EventProducer) -> None:
    found: list[Place | None] = []

    def broken(place: Place | None) -> None:
        raise RuntimeError("of somebody else")

    async def close() -> None:
        log.send(click("e0", "u0"), broken)
        log.send(click("e1", "u1"), found.append)
        await log.close()

    asyncio.run(close())
    assert len(found) == 1
    assert Client.made[0].purged


# -- no broker -------------------------------------------------------------------------------------


def test_trying_in_vain_leaves_no_socket_and_no_thread() -> None:
    async def attempts() -> None:
        log = EventProducer(NOBODY, 500)

        def left() -> tuple[int, int]:
            return psutil.Process().num_fds(), threading.active_count()

        with pytest.raises(KafkaAway):
            await log.append([click()])
        assert profiles.latest(NOBODY) == []
        before = left()
        for _ in range(5):
            with pytest.raises(KafkaAway):
                await log.append([click()])
            assert profiles.latest(NOBODY) == []
        assert all(now <= then for now, then in zip(left(), before, strict=True))  # of other tests some may end now
        await log.close()

    asyncio.run(attempts())


def test_a_broker_that_is_not_there_is_found_out_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSE_S", 0.05)

    async def attempts() -> None:
        log = EventProducer(NOBODY, 1500)
        with pytest.raises(KafkaAway):
            await log.append([click()])
        for _ in range(5):
            await asyncio.sleep(0.06)
            async with asyncio.timeout(0.5):
                with pytest.raises(KafkaAway):
                    await log.append([click()])
        await log.close()

    asyncio.run(attempts())


def test_closing_without_a_broker_reports_in_the_loops_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 1.0)
    found: list[Place | None] = []

    def done(place: Place | None) -> None:
        asyncio.get_running_loop()  # as callbacks do that set events and timers
        found.append(place)

    async def close() -> None:
        log = EventProducer(NOBODY, 300)
        log.send(click(), done)
        await log.close()

    asyncio.run(close())
    assert found == [None]


# -- a broker --------------------------------------------------------------------------------------


def test_what_is_claimed_is_there(stack: Stack) -> None:
    events = [click(f"claimed-{n}", f"u{n % 7}") for n in range(50)]

    async def stored() -> list[Place | None]:
        log = EventProducer(stack.settings.connection, 10_000)
        places = await log.append(events)
        await log.close()
        return places

    places = asyncio.run(stored())
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


def test_every_documented_client_puts_a_person_into_the_same_partition(stack: Stack) -> None:
    people = [*(f"placed-{n}" for n in range(300)), "é中", "a/b", "x" * 256]
    events = [click(f"placed-{n}", user) for n, user in enumerate(people)]
    users = [event.user_id.encode() for event in events]

    async def over_http() -> list[int]:
        log = EventProducer(stack.settings.connection, 10_000)
        places = await log.append(events)
        await log.close()
        return [place.partition if place else -1 for place in places]

    def by_librdkafka() -> list[int]:
        found: dict[bytes, int] = {}
        producer = confluent_kafka.Producer({"bootstrap.servers": stack.settings.kafka, "partitioner": PARTITIONER})
        for event, user in zip(events, users, strict=True):
            producer.produce(
                INTERACTIONS, codec.encode(event), user,
                on_delivery=lambda _, message: found.update({message.key(): message.partition()}),
            )  # fmt: skip
        producer.flush(10)
        return [found[user] for user in users]

    def by_kafka_python() -> list[int]:
        producer = KafkaProducer(bootstrap_servers=stack.settings.kafka)
        sent = [producer.send(INTERACTIONS, codec.encode(e), user) for e, user in zip(events, users, strict=True)]
        found = [future.get(10).partition for future in sent]
        producer.close()
        return found

    partitions = stack.settings.partitions
    java = [(murmur2(user) & 0x7FFFFFFF) % partitions for user in users]
    assert len(set(java)) == partitions
    assert asyncio.run(over_http()) == java
    assert by_librdkafka() == java
    assert by_kafka_python() == java


@pytest.mark.integration
def test_a_killed_broker_loses_nothing_that_was_claimed_and_the_producer_goes_on(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, **free_ports())
    claimed: list[str] = []
    counted = Counter[str]()

    async def outage(stack: Stack) -> None:
        log = EventProducer(settings.connection, 2000)
        impressions = ImpressionLog(log, 1000, lambda result, n: counted.update({result: n}), backoff_s=0.1)
        impressions.start()

        async def append(name: str) -> bool:
            try:
                await log.append([click(name, name)])
            except KafkaAway:
                return False
            claimed.append(name)
            return True

        assert await append("before")
        await asyncio.to_thread(stack.kill, "kafka")
        for n in range(20):
            impressions.put(Impression(f"r{n}", "u1", NOW, ["i1"]))
        assert not await append("during")
        assert len(impressions) == 20
        await asyncio.to_thread(stack.up, ["kafka"])
        async with asyncio.timeout(60):
            n = 0
            while not await append(f"after-{n}"):
                n += 1
                await asyncio.sleep(0.2)
            while len(impressions):
                await asyncio.sleep(0.05)
        await impressions.stop()
        await log.close()

    with Stack(settings, report=print) as stack:
        stack.up(["kafka"])
        asyncio.run(outage(stack))
        found: dict[str, list[str]] = {}
        for message in to_end.read(settings.connection, [INTERACTIONS, IMPRESSIONS]):
            event = codec.decode(message.topic, message.value or b"")
            found.setdefault(message.topic, []).append(getattr(event, "event_id", "") or event.request_id)
    assert set(claimed) <= set(found[INTERACTIONS])
    assert set(found[IMPRESSIONS]) == {f"r{n}" for n in range(20)}
    assert (counted["stored"], counted["dropped"]) == (20, 0)
