"""Flink and the replay driver run the same operators over the same log and emit the same rows."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from feature_repo import registry
from feature_repo.builders import item_operator, user_operator
from feature_repo.views import item
from freshet.local.flink import Flink
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.attribution import Attribution
from operators.contract import Record, Row
from operators.history import hash64
from operators.space import BundleSpace
from operators.subject import CatalogueEntry
from operators.time import DAY, HOUR, MINUTE
from schemas import bundle, codec
from schemas.events import EVENT_TYPES, Event, Impression, Interaction, Item, LabelledExample
from schemas.topics import EXAMPLES, IMPRESSIONS, INTERACTIONS, dlq, key_of, topic_of
from tests.bundles import write_bundle
from training.replay import KnownItems, Replay

EVERYTHING = os.environ.get("PARITY_DEFINITIONS", "tests.streams.everything")
VERSION = "test"
EVENTS = int(os.environ.get("PARITY_EVENTS", "150"))
MANY = 10_000
"""events from which on rows are compared by hash: with their timers there are several rows an event"""
STEP = 800_000
"""ms between two events of a log, on average"""
BASE = 1_700_000_000_000
ITEMS = [
    Item(f"i{n}", f"Title {n}", [f"c{n % 4}", f"c{n % 3}"], f"b{n % 5}", created_at=BASE - n * DAY) for n in range(40)
]


def log(seed: int, n: int, people: int = 12, clock: int = BASE) -> list[Event]:
    """Shuffled interactions and impressions from `clock` on, with late, too late, future and duplicate ones."""
    rng = random.Random(seed)
    events: list[Event] = []
    for k in range(n):
        clock += rng.choice([1000, 20_000, 3 * MINUTE, 50 * MINUTE])
        at = clock - rng.choice([0, 0, 0, 5000, 2 * HOUR, 30 * HOUR])
        at = clock + 40 * 365 * DAY if rng.random() < 0.01 else at
        user = f"u{rng.randrange(people)}"
        if rng.random() < 0.15:
            shown = [f"i{rng.randrange(40)}" for _ in range(rng.randrange(1, 5))]
            events.append(Impression(f"r{k}", f"v{rng.randrange(4)}", at, shown, region="DE"))
            continue
        kind = rng.choice(EVENT_TYPES)
        properties: dict[str, Any] = {"region": rng.choice(["DE", "FR", ""])}
        if kind == "rating":
            properties["rating"] = rng.randint(1, 5)
        events.append(
            Interaction(
                f"e{k}", kind, user, at, None if kind == "search" else f"i{rng.randrange(45)}",
                rng.choice([None, None, f"s{k // 50}"]), properties=properties,
            )
        )  # fmt: skip
        if rng.random() < 0.1:
            events.append(rng.choice(events[-30:]))
    return events


def visits(at: int, people: int = 4) -> list[Event]:
    """Lists and what was done with them, by people of whom nothing else is known: within one window, and by the name of
    the list, so that it does not matter in which order the two topics are read."""
    found: list[Event] = []
    for n in range(people):
        shown = [f"i{n}", f"i{n + 1}", f"i{n + 2}"]
        logged = struct.pack("<6f", *range(n, n + 6)) if n else None
        found.append(
            Impression(
                f"w-{n}", f"w{n}", at, shown, "cart", "DE", "tv", "v1", "b", [0.5, 0.25, 0.125] if n else None, logged
            )
        )
        found += [
            Interaction(f"w-{n}-{k}", kind, f"w{n}", at + k * MINUTE, shown[k], None, f"w-{n}", {"watch_seconds": 1.5})
            for k, kind in enumerate(("click", "play", "like")[: n + 1])
        ]
    return found


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An empty Kafka of the test's own with one partition a topic, so that the order of the whole log is defined: the
    job reads every topic from its beginning."""
    settings = Settings(home=tmp_path_factory.mktemp("parity"), partitions=1, **free_ports())
    with Stack(settings, report=print) as stack:
        stack.up(["kafka"])
        assert write_bundle(settings.bundles, [i.item_id for i in ITEMS[:30]], dim=8) == VERSION
        yield settings


def _consume(kafka: str, topic: str) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    end, found = consumer.end_offsets([partition])[partition], []
    answered = time.monotonic()
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=500).values():
            found += records
            answered = time.monotonic()
        assert time.monotonic() < answered + 60, f"{topic}: Kafka gives nothing more before its end"
    consumer.close()
    return found


class Emissions(defaultdict[tuple[str, ...], list[str | int]]):
    """Each key's rows in order, as JSON; where there are very many, hashes of it. Catalogue columns are left out and
    repeats folded: catalogue entries come from a topic of their own, whose order against the events is not defined."""

    def __init__(self) -> None:
        super().__init__(list)
        self._last = -sum(len(a.fields) for a in item.aggregations if isinstance(a, CatalogueEntry))

    def add(self, row: Row) -> None:
        view, key, values = row
        text = json.dumps(values[: self._last] if view == item.name else values, default=bytes.hex)
        kept = text if EVENTS <= MANY else hash64(text)
        emissions = self[(view, *key)]
        if view != item.name or not emissions or emissions[-1] != kept:
            emissions.append(kept)


def in_flink(settings: Settings, folder: Path, **more: str) -> Iterator[Row]:
    """What the job emits in event time over the log as it is."""
    rows_to = folder / "rows.jsonl"
    launch = Flink(restore=False).prepare(settings, print)
    env = {
        **os.environ, **launch.env, "FRESHET_DEFINITIONS": "bench.repositories.none", "FRESHET_CHECKPOINTS": "",
        "FRESHET_CLOCK": "event",
        "FRESHET_BOUNDED": "true", "FRESHET_ROWS_TO": str(rows_to), **more,
    }  # fmt: skip
    done = subprocess.run(launch.argv, env=env, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return _rows(rows_to)


def _rows(file: Path) -> Iterator[Row]:
    with file.open() as lines:
        for view, key, values in map(json.loads, lines):
            yield Row(view, tuple(key), values)
    file.unlink()  # of many events it has gigabytes


@pytest.mark.integration
def test_every_emission_of_every_declared_feature_is_the_same(broker: Settings, tmp_path: Path) -> None:
    """One topic of one partition has one order, which all operators see: key by key every emission is compared."""
    declared = registry.load(EVERYTHING)
    producer = KafkaProducer(bootstrap_servers=broker.kafka, linger_ms=5)
    for entry in ITEMS:
        producer.send("items", key=key_of(entry), value=codec.encode(entry))
    # So early that a long log does not run into the time that is now, from where on the job refuses events.
    for event in log(seed=11, n=EVENTS, people=max(12, EVENTS // 100), clock=BASE - EVENTS * STEP):
        if isinstance(event, Interaction):
            producer.send(INTERACTIONS, key=key_of(event), value=codec.encode(event))
    producer.close()
    features, found, expected = set(declared.views), Emissions(), Emissions()
    pool = ThreadPoolExecutor(1)
    flink = pool.submit(in_flink, broker, tmp_path, FRESHET_DEFINITIONS=EVERYTHING)
    stored = _consume(broker.kafka, INTERACTIONS)

    world = KnownItems(ITEMS)
    world.space = BundleSpace.of(bundle.load(broker.bundles / VERSION), world.item)

    def emit(row: Row, at: int) -> None:
        if row.view in features:
            expected.add(row)

    replay = Replay(user_operator(world, declared=declared), item_operator(world, declared), emit)
    for r in stored:
        event = codec.decode(r.topic, r.value)
        replay.feed(Record(event, r.topic, r.partition, r.offset, r.timestamp))
    replay.finish()
    for row in flink.result():
        if row.view in features:
            found.add(row)
    pool.shutdown()

    refused = Counter(letter.error.reason for letter in replay.dead)
    assert refused["too_far_in_future"] < 0.05 * len(stored)
    assert {view for view, *_ in expected} == features
    assert found.keys() == expected.keys()
    for key, emissions in expected.items():
        assert found[key] == emissions, key
    compared = sum(map(len, expected.values()))
    print(f"{compared:,} emissions of {len(expected):,} keys over {len(stored):,} events are the same; {refused=}")
    assert compared > 3 * EVENTS


@pytest.mark.integration
def test_every_emission_is_the_same(broker: Settings, tmp_path: Path) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.kafka, linger_ms=5)
    for entry in ITEMS:
        producer.send("items", key=key_of(entry), value=codec.encode(entry))
    events = log(seed=7, n=3000)
    events += visits(max(e.timestamp for e in events if isinstance(e, Interaction) and e.timestamp < BASE + 999 * DAY))
    for event in events:
        producer.send(topic_of(event), key=key_of(event), value=codec.encode(event))
    producer.close()

    found, expected = Emissions(), Emissions()
    for row in in_flink(broker, tmp_path):
        found.add(row)

    world = KnownItems(ITEMS)
    world.space = BundleSpace.of(bundle.load(broker.bundles / VERSION), world.item)
    expected_examples: list[LabelledExample] = []
    replay = Replay(
        user_operator(world, attribution=Attribution()), item_operator(world), lambda row, at: expected.add(row),
        on_example=expected_examples.append,
    )  # fmt: skip
    stored = [r for topic in (INTERACTIONS, IMPRESSIONS) for r in _consume(broker.kafka, topic)]
    for r in sorted(stored, key=lambda r: (r.timestamp, r.topic, r.offset)):
        event = codec.decode(r.topic, r.value)
        replay.feed(Record(event, r.topic, r.partition, r.offset, r.timestamp))
    replay.finish()

    letters = [json.loads(r.value) for t in (INTERACTIONS, IMPRESSIONS) for r in _consume(broker.kafka, dlq(t))]
    assert Counter((x["topic"], x["offset"], x["reason"]) for x in letters) == Counter(
        (d.record.topic, d.record.offset, d.error.reason) for d in replay.dead
    )
    assert {x["reason"] for x in letters} == {"duplicate", "too_late", "too_far_in_future"}

    catalogue_only = {k for k in found.keys() - expected.keys() if k[0] == item.name}
    assert found.keys() - catalogue_only == expected.keys()
    users = [k for k in expected if k[0] == "user_activity" and not k[1].startswith("w")]
    assert sum(len(expected[k]) for k in users) > 2000
    for key in users:
        assert found[key] == expected[key], key
    for key in expected.keys() - set(users):
        # Impressions and interactions come over two topics, in no fixed order: compare the final rows.
        assert found[key][-1] == expected[key][-1], key

    # Each is written when it was closed, by the person's own time: one person's in their order.
    examples = [(r.key.decode(), codec.decode(EXAMPLES, r.value)) for r in _consume(broker.kafka, EXAMPLES)]
    assert all(key == example.user_id for key, example in examples)
    for who in {example.user_id for example in expected_examples}:
        own = [example for example in expected_examples if example.user_id == who]
        assert [example for key, example in examples if key == who] == own
    assert len(examples) == len(expected_examples) > 500
    assert sum(len(e.labels) for e in expected_examples) == 1 + 2 + 3 + 3
