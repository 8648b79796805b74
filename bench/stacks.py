"""Starts a stack for one benchmark, and loads its data."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from confluent_kafka import Producer as ConfluentProducer
from msgspec import structs

from bench.errors import Unsound
from feature_repo.repository import EMPTY, Repository
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from schemas import codec
from schemas.events import Event, Interaction
from schemas.topics import key_of, topic_of
from training.datasets import Dataset, movielens
from training.train import train

Say = Callable[[str], None]
FLUSH_S = 120.0


@contextmanager
def own_stack(say: Say, **settings: Any) -> Iterator[Stack]:
    """Kafka and Redis in a temporary home on free ports, with further `settings`; everything is stopped and removed at
    the end, also after a SIGTERM. For the main thread."""
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="freshet-bench-") as home:
            values: dict[str, Any] = {**free_ports(), **settings}
            found = Settings(home=Path(home), **values)
            with Stack(found, report=say) as stack:
                stack.up(["kafka", "redis"])
                yield stack
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the shutdown
    for process in multiprocessing.active_children():
        process.terminate()  # otherwise its pool waits until it has measured to the end
    raise SystemExit(128 + number)


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Processes started in this context have this environment variable."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def load_movielens(settings: Settings, say: Say, declared: Repository = EMPTY) -> Dataset:
    """Publishes a model of MovieLens-100K, whose ranker reads the `declared` crosses, and sends its films and people.
    The ratings are not sent."""
    data = movielens()
    say("training on MovieLens-100K")
    train(data.interactions, data.items, settings.bundles, declared=declared)
    send(settings, [*data.items, *data.users])
    return data


def producer(kafka: str) -> Any:
    """A librdkafka producer, which takes a tenth of the processor that kafka-python takes. It lingers as Kafka 4.0 does
    and partitions as every other client of the project, so that a person's events stay in one partition."""
    return ConfluentProducer(
        {"bootstrap.servers": kafka, "acks": "all", "linger.ms": 5, "partitioner": "murmur2_random"}
    )


def send(settings: Settings, events: Iterable[Event]) -> None:
    """Writes the events to their topics; returns when all are acknowledged. Raises Unsound where one is not."""
    sender = producer(settings.kafka)
    failed: list[object] = []

    def delivered(error: object, message: object) -> None:
        if error is not None:
            failed.append(error)

    for event in events:
        place, key, value = topic_of(event), key_of(event), codec.encode(event)
        while True:
            try:
                sender.produce(place, key=key, value=value, on_delivery=delivered)
                break
            except BufferError:
                sender.poll(0.1)
        sender.poll(0)
    if sender.flush(FLUSH_S) or failed:
        raise Unsound(f"events were not acknowledged by Kafka: {failed[:1]}")


def retimed(events: Sequence[Interaction], start: int, end: int, rounds: int = 1) -> Iterator[Interaction]:
    """The events `rounds` times, with new ids, evenly spread from `start` to `end` (epoch ms)."""
    total = rounds * len(events)
    for number in range(total):
        event = events[number % len(events)]
        at = start + (end - start) * number // total
        yield structs.replace(event, event_id=f"b{number}-{event.event_id}"[:256], timestamp=at)


def shuffled(events: Sequence[Interaction], seed: int = 0) -> list[Interaction]:
    """In random order. In the data a person's ratings are adjacent, so that many events would be written as one row."""
    found = list(events)
    random.Random(seed).shuffle(found)
    return found
