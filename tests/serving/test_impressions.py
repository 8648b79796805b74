"""Impressions reach Kafka off the request's path, survive its absence, and never hold a feed up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schemas.events import Event, Impression
from serving import impressions as module
from serving.impressions import ImpressionLog
from serving.producer import Place
from tests.serving.made import NOW, Log

Done = Callable[[Place | None], None]


def shown(n: int) -> Impression:
    return Impression(f"r{n}", "u1", NOW, ["i1"])


def names(kafka: Log) -> list[str]:
    return [e.request_id for _, e in kafka.stored if isinstance(e, Impression)]


class Slow(Log):
    """Kafka that reports nothing until `answer` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[tuple[Event, Done]] = []

    def send(self, event: Event, done: Done) -> None:
        self.pending.append((event, done))

    def answer(self, stored: bool = True) -> None:
        pending, self.pending = self.pending, []
        for event, done in pending:
            done(self._place(event) if stored else None)


async def until(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not check():
            await asyncio.sleep(0.005)


def run(kafka: Log, size: int, test: Callable[[ImpressionLog], Awaitable[None]]) -> Counter[str]:
    """Runs the test beside a started log; what was counted."""
    counted = Counter[str]()

    async def started() -> None:
        log = ImpressionLog(kafka, size, lambda result, n: counted.update({result: n}), backoff_s=0.02)
        log.start()
        await test(log)
        await log.stop()

    asyncio.run(started())
    return counted


def test_all_are_stored_in_order() -> None:
    kafka = Log()

    async def test(log: ImpressionLog) -> None:
        for n in range(50):
            log.put(shown(n))

    assert run(kafka, 100, test) == {"stored": 50}
    assert names(kafka) == [f"r{n}" for n in range(50)]


def test_a_full_queue_drops_the_newest_and_counts_what_is_in_flight() -> None:
    kafka = Slow()

    async def test(log: ImpressionLog) -> None:
        log.put(shown(0))
        await until(lambda: kafka.pending)
        for n in range(1, 11):
            log.put(shown(n))
        assert len(log) == 3
        kafka.answer()
        await until(lambda: kafka.pending)
        kafka.answer()

    assert run(kafka, 3, test) == {"stored": 3, "dropped": 8}
    assert names(kafka) == ["r0", "r1", "r2"]


def test_while_kafka_is_away_nothing_is_lost() -> None:
    kafka = Log()

    async def test(log: ImpressionLog) -> None:
        kafka.away = True
        for n in range(20):
            log.put(shown(n))
        await asyncio.sleep(0.3)
        assert len(log) == 20
        kafka.away = False
        await until(lambda: not len(log))

    counted = run(kafka, 20, test)
    assert names(kafka) == [f"r{n}" for n in range(20)]
    assert (counted["stored"], counted["dropped"]) == (20, 0)
    assert 1 <= counted["retried"] <= 6, "the pause between attempts grows"


def test_what_was_sent_and_not_acknowledged_is_sent_again_in_its_order() -> None:
    kafka = Slow()

    async def test(log: ImpressionLog) -> None:
        for n in range(5):
            log.put(shown(n))
        await until(lambda: len(kafka.pending) == 5)
        kafka.answer(stored=False)
        log.put(shown(5))
        await until(lambda: len(kafka.pending) == 6)
        kafka.answer()

    assert run(kafka, 10, test) == {"stored": 6, "retried": 1}
    assert names(kafka) == [f"r{n}" for n in range(6)]


def test_one_that_cannot_be_written_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Picky(Log):
        def send(self, event: Event, done: Done) -> None:
            if isinstance(event, Impression) and event.request_id == "r1":
                raise ValueError("cannot be encoded")
            super().send(event, done)

    kafka = Picky()

    async def test(log: ImpressionLog) -> None:
        for n in range(3):
            log.put(shown(n))

    assert run(kafka, 10, test) == {"stored": 2, "dropped": 1}
    assert "cannot be encoded" in caplog.text


def test_a_counter_that_raises_does_not_end_the_task() -> None:
    kafka, raised = Log(), []

    def count(result: str, n: int) -> None:
        if not raised:
            raised.append(result)
            raise KeyError("no such metric")

    async def test() -> ImpressionLog:
        log = ImpressionLog(kafka, 10, count, backoff_s=0.02)
        log.start()
        kafka.away = True
        log.put(shown(0))
        await until(lambda: raised)
        kafka.away = False
        await until(lambda: not len(log))
        log.put(shown(1))
        await until(lambda: len(kafka.stored) == 2)
        await log.stop()
        return log

    log = asyncio.run(test())
    assert names(kafka) == ["r0", "r1"]
    assert log.health.up
    assert log.health.errors == 1
    assert "no such metric" in log.health.last_error


def test_stopping_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.1)

    async def test(log: ImpressionLog) -> None:
        log.put(shown(0))

    assert run(Slow(), 1, test) == {"dropped": 1}


def test_a_persons_queued_impressions_are_dropped_on_request() -> None:
    kafka = Slow()

    async def test(log: ImpressionLog) -> None:
        log.put(shown(0))
        log.put(Impression("other", "u2", NOW, ["i1"]))
        await until(lambda: len(kafka.pending) == 2)
        kafka.answer(stored=False)
        log.put(shown(1))
        log.forget("u1")
        assert len(log) == 1
        await until(lambda: kafka.pending)
        kafka.answer()

    assert run(kafka, 10, test)["stored"] == 1
    assert names(kafka) == ["other"]
