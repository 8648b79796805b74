"""A stack for one benchmark, and the real data in it."""

from __future__ import annotations

import multiprocessing
import random
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from msgspec import structs

from feature_repo.repository import EMPTY, Repository
from freshet.data.producer import Producer
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from schemas import codec
from schemas.events import Event, Interaction
from schemas.topics import key_of, topic_of
from training.datasets import Dataset, movielens
from training.train import train

Say = Callable[[str], None]


@contextmanager
def own_stack(say: Say) -> Iterator[Stack]:
    """Kafka and Redis in a temporary home on free ports; everything is stopped and removed at the end, also where
    the end is a SIGTERM. For the main thread."""
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with tempfile.TemporaryDirectory(prefix="freshet-bench-") as home:
            settings = Settings(home=Path(home), **free_ports())  # type: ignore[arg-type]
            with Stack(settings, report=say) as stack:
                stack.up(["kafka", "redis"])
                yield stack
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not cut the stopping short
    for process in multiprocessing.active_children():
        process.terminate()  # or its pool waits until it has measured to the end
    raise SystemExit(128 + number)


def load_movielens(settings: Settings, say: Say, declared: Repository = EMPTY) -> Dataset:
    """Publishes a model of MovieLens-100K, whose ranker reads the `declared` crosses, and sends its films and people;
    the ratings are the caller's to send."""
    data = movielens()
    say("training on MovieLens-100K")
    train(data.interactions, data.items, settings.bundles, declared=declared)
    send(settings, [*data.items, *data.users])
    return data


def send(settings: Settings, events: Sequence[Event]) -> None:
    """Writes the events to their topics; returns when all are acknowledged."""
    with Producer(settings) as producer:
        for event in events:
            producer.send(topic_of(event), key_of(event), codec.encode(event))
        producer.flush()


def retimed(events: Sequence[Interaction], start: int, end: int, rounds: int = 1) -> Iterator[Interaction]:
    """The events `rounds` times over, as new ones, evenly from `start` to `end` (epoch ms)."""
    total = rounds * len(events)
    for number in range(total):
        event = events[number % len(events)]
        at = start + (end - start) * number // total
        yield structs.replace(event, event_id=f"b{number}-{event.event_id}"[:256], timestamp=at)


def shuffled(events: Sequence[Interaction], seed: int = 0) -> list[Interaction]:
    """In random order: a person's ratings stand together in the data, which would make few rows of many events."""
    found = list(events)
    random.Random(seed).shuffle(found)
    return found
