"""Processes that add items, ask while they are added, and time how an item is taken. For `bench/adding.py`."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hnswlib
import msgspec
from confluent_kafka import Producer

from bench import catalogues, clients, stacks
from bench.clients import SHOWN, HttpConnection
from bench.pace import paced
from schemas import bundle, codec
from schemas.clock import now_ms
from schemas.events import Item
from schemas.topics import ITEMS, key_of
from serving.catalogue import LiveCatalogue

PATIENCE_S = 60.0
POLL_S = 0.005
CREATED = "adding"


@dataclass
class AddingAnswers:
    """Milliseconds of whole answers by surface, from when they were due; failed and degraded ones by reason."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {"feed": [], "similar": []})
    failed: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)

    def add(self, other: AddingAnswers) -> None:
        for name, values in other.ms.items():
            self.ms[name] += values
        self.failed += other.failed
        self.degraded += other.degraded


@dataclass
class Added:
    """Items that were sent, how many Kafka did not acknowledge, and milliseconds from each probed item's message to the
    first whole list of the server for it. That searches find it from then on, its comparisons say."""

    sent: int = 0
    began: float = 0.0
    """epoch seconds, just before the first message"""
    per_s: float = 0.0
    undelivered: int = 0
    answered_ms: list[float] = field(default_factory=list)
    unseen: int = 0

    def add(self, other: Added) -> None:
        self.sent += other.sent
        self.undelivered += other.undelivered
        self.answered_ms += other.answered_ms
        self.unseen += other.unseen


# -- asking ----------------------------------------------------------------------------------------


def ask(host: str, port: int, users: Sequence[str], items: int, rate: float, seconds: float) -> AddingAnswers:
    """Feeds and similar lists of the catalogue's items in turn, `rate` a second. Runs in a separate process."""
    return clients.run(lambda: _ask(host, port, users, items, rate, seconds))


async def _ask(host: str, port: int, users: Sequence[str], items: int, rate: float, seconds: float) -> AddingAnswers:
    found, chance, connection = AddingAnswers(), random.Random(time.time_ns()), HttpConnection(host, port)
    for number, due in paced(rate, seconds):
        name = ("feed", "similar")[number % 2]
        path = clients.feed_path(chance.choice(users)) if name == "feed" else similar(f"i{chance.randrange(items)}")
        reply = await connection.ask("GET", path)
        ms = (time.monotonic() - due) * 1000
        if reply.status != 200:
            found.failed[f"{name}: status {reply.status}"] += 1
            continue
        answer = msgspec.json.decode(reply.body, type=clients.FeedBody)
        if len(answer.items) != SHOWN:
            found.failed[f"{name}: incomplete"] += 1
            continue
        found.ms[name].append(ms)
        found.degraded.update(f"{name}: {step}" for step in answer.degraded)
    await connection.close()
    return found


def similar(item_id: str) -> str:
    return f"/v1/items/{item_id}/similar?n={SHOWN}"


# -- adding ----------------------------------------------------------------------------------------


def new_items(first: int, n: int) -> Iterator[Item]:
    """`n` items like those of the catalogue, each with a title of its own, numbered from `first`."""
    for number, item in enumerate(catalogues.catalogue(n), first):
        yield msgspec.structs.replace(item, item_id=f"{CREATED}-{number}", title=f"New item {number}")


def add(kafka: str, first: int, rate: float, seconds: float) -> Added:
    """Sends `rate` new items a second, numbered from `first`. Runs in a separate process."""
    producer = stacks.producer(kafka)
    items = new_items(first, int(rate * seconds) + 1)
    found, started = Added(began=time.time()), time.monotonic()
    for _ in paced(rate, seconds):
        _send(producer, next(items), found)
    found.per_s = found.sent / (time.monotonic() - started)
    found.undelivered += producer.flush(PATIENCE_S)
    return found


def _send(producer: Producer, item: Item, found: Added) -> None:
    def delivered(error: object, message: object) -> None:
        found.undelivered += error is not None

    item = msgspec.structs.replace(item, created_at=now_ms())
    producer.produce(ITEMS, key=key_of(item), value=codec.encode(item), on_delivery=delivered)
    producer.poll(0)
    found.sent += 1


def watch(kafka: str, host: str, port: int, first: int, rate: float, seconds: float) -> Added:
    """Sends `rate` further items a second and asks for what is similar to each until the server answers with a whole
    list, with a pause of POLL_S or a tenth of the time waited. Runs in a separate process."""
    return clients.run(lambda: _watch(kafka, host, port, first, rate, seconds))


async def _watch(kafka: str, host: str, port: int, first: int, rate: float, seconds: float) -> Added:
    producer, found, connection = stacks.producer(kafka), Added(), HttpConnection(host, port)
    items = new_items(first, int(rate * seconds) + 1)
    for _ in paced(rate, seconds):
        item, started = next(items), time.monotonic()
        _send(producer, item, found)
        producer.flush(PATIENCE_S)
        while True:
            reply = await connection.ask("GET", similar(item.item_id))
            waited = time.monotonic() - started
            if reply.status == 200 and len(msgspec.json.decode(reply.body, type=clients.FeedBody).items) == SHOWN:
                break
            if waited > PATIENCE_S:
                found.unseen += 1
                break
            time.sleep(max(POLL_S, waited / 10))
        found.answered_ms.append((time.monotonic() - started) * 1000)
    await connection.close()
    return found


# -- the cost of an item ---------------------------------------------------------------------------


def taking(bundles: Path, n: int, turns: int) -> tuple[list[float], list[float]]:
    """Processor microseconds of an item: as the server takes its message, and as a bare index takes its vector, means
    over `n` items in each of `turns` turns. Both start from the bundle in force. Runs in a separate process."""
    found = bundle.current(bundles)
    assert found is not None
    catalogue = LiveCatalogue()
    model = catalogue.load(found)
    catalogue.serve(model)
    stored = found.space()
    bare = hnswlib.Index(space="ip", dim=stored.part.dim)
    bare.load_index(str(stored.index), max_elements=stored.part.items + n * turns)
    whole_us, bare_us = [], []
    for turn in range(turns):
        items = list(new_items(turn * n, n))
        records = [(key_of(item), codec.encode(item)) for item in items]
        started = time.thread_time()
        for key, value in records:
            catalogue.on_record(ITEMS, key, value)
        whole_us.append((time.thread_time() - started) / n * 1e6)
        vectors = [model.user_space.vector(item.item_id) for item in items]
        first = bare.get_current_count()
        started = time.thread_time()
        for number, vector in enumerate(vectors, first):
            bare.add_items(vector, number, num_threads=1)
        bare_us.append((time.thread_time() - started) / n * 1e6)
    return whole_us, bare_us
