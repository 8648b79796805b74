"""Lists shown go to Kafka off the request's path, and are dropped rather than waited for."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from schemas.events import Impression
from serving.impressions import ImpressionLog
from tests.serving.made import NOW, Log, Sent


def shown(n: int) -> Impression:
    return Impression(f"r{n}", "u1", NOW, ["i1"])


class Slow(Log):
    """Kafka that takes one impression and holds the thread until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.taken, self.go = threading.Event(), threading.Event()

    def send(self, event: Any) -> Sent:
        self.taken.set()
        assert self.go.wait(10)
        return super().send(event)


def test_all_are_stored_in_order() -> None:
    kafka, counted = Log(), Counter[str]()
    log = ImpressionLog(kafka, 100, lambda result, n: counted.update({result: n}))
    log.start()
    for n in range(50):
        log.put(shown(n))
    log.stop()
    assert [e.request_id for _, e in kafka.stored] == [f"r{n}" for n in range(50)]  # type: ignore[union-attr]
    assert counted == {"stored": 50}


def test_a_full_queue_drops_and_nobody_waits() -> None:
    kafka, counted = Slow(), Counter[str]()
    log = ImpressionLog(kafka, 3, lambda result, n: counted.update({result: n}))
    log.start()
    log.put(shown(0))
    assert kafka.taken.wait(10)
    for n in range(1, 11):
        log.put(shown(n))
    assert counted == {"dropped": 7}
    kafka.go.set()
    log.stop()
    assert counted == {"dropped": 7, "stored": 4}


def test_while_kafka_is_away_they_are_counted_as_failed_and_then_stored_again() -> None:
    kafka, counted = Log(), Counter[str]()
    failed = threading.Event()

    def count(result: str, n: int) -> None:
        counted.update({result: n})
        if result == "failed":
            failed.set()

    log = ImpressionLog(kafka, 10, count)
    kafka.away = True
    log.start()
    log.put(shown(0))
    assert failed.wait(10)
    kafka.away = False
    log.put(shown(1))
    log.stop()
    assert counted == {"failed": 1, "stored": 1}


class Picky(Log):
    """A log that raises what nobody expects for one impression."""

    def send(self, event: Any) -> Sent:
        if event.request_id == "r1":
            raise ZeroDivisionError("a mistake of ours")
        return super().send(event)


def test_an_impression_that_cannot_be_sent_costs_no_other() -> None:
    kafka, counted = Picky(), Counter[str]()
    log = ImpressionLog(kafka, 10, lambda result, n: counted.update({result: n}))
    log.start()
    for n in range(4):
        log.put(shown(n))
    log.stop()
    assert counted == {"failed": 1, "stored": 3}
    assert log.health.errors == 1
    assert "a mistake of ours" in log.health.last_error


def test_a_counter_that_raises_does_not_end_the_thread() -> None:
    kafka = Log()
    raised = threading.Event()

    def count(result: str, n: int) -> None:
        if not raised.is_set():
            raised.set()
            raise KeyError("no such metric")

    log = ImpressionLog(kafka, 10, count)
    log.start()
    log.put(shown(0))
    assert raised.wait(10)
    log.put(shown(1))
    log.stop()
    assert len(kafka.stored) == 2
    assert log.health.errors == 1


def test_stopping_does_not_wait_for_ever() -> None:
    kafka = Slow()
    log = ImpressionLog(kafka, 1, lambda result, n: None)
    log.start()
    log.put(shown(0))
    assert kafka.taken.wait(10)
    log.put(shown(1))
    log.stop()
    kafka.go.set()
