"""Processes that load and watch a stack. Each runs alone, so that none slows another's clock."""

from __future__ import annotations

import http.client
import json
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from confluent_kafka import Producer as ConfluentProducer
from kafka import KafkaProducer

from bench.errors import Unsound
from bench.stacks import shuffled
from freshet.data.pace import wait_until
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Interaction
from schemas.topics import INTERACTIONS, key_of

GIVE_UP_S = 10.0
FELL_BACK = 0.01
SHOWN = 20


def paced(rate: float, seconds: float) -> Iterator[tuple[int, float]]:
    """Numbers at a steady rate, each with the moment (monotonic) from which it counts. One that is late is not waited
    for, so that the rate holds on average, and counts from when it was due: who waits for the one before waits as well.
    What would be later than the end is left out: a probe that is slow must not go on when the load has ended."""
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        asked, due = time.monotonic(), began + number / rate
        if asked > began + seconds:
            return
        wait_until(due)
        yield number, due if asked > due else time.monotonic()


def loop_ms() -> float:
    """Milliseconds of processor that a fixed piece of work takes: where others share the processors, they are slower at
    times, and a figure of such a time is of them as much as of the stack."""
    started = time.thread_time()
    total = 0
    for number in range(20_000):
        total += number * number
    return (time.thread_time() - started) * 1000


def background(kafka: str, rate: float, seconds: float, enough: Event) -> tuple[float, list[float]]:
    """Real ratings as if they happened now, at `rate` a second, for so long or until it is `enough`. Returns the rate
    that was reached, and `loop_ms` of each second."""
    from training.datasets import movielens

    events = shuffled(movielens().interactions)
    # librdkafka, since the processors are the stack's, and kafka-python took a quarter of one. It lingers as Kafka 4.0
    # does, and needs to be told of everybody else's partitioner, or a person's events would come in two partitions.
    settings = {"bootstrap.servers": kafka, "acks": "all", "linger.ms": 5, "partitioner": "murmur2_random"}
    producer = ConfluentProducer(settings)
    started = time.perf_counter()
    sent = 0
    loops = []
    for number, _ in paced(rate, seconds):
        if number % int(rate) == 0:
            if enough.is_set():
                break
            loops.append(loop_ms())
        event = events[number % len(events)]
        fresh = Interaction(
            f"load-{number}", event.event_type, event.user_id, now_ms(), event.item_id, properties=event.properties
        )
        producer.produce(INTERACTIONS, key=key_of(fresh), value=codec.encode(fresh), on_delivery=_delivered)
        producer.poll(0)
        sent += 1
    took = time.perf_counter() - started
    if producer.flush(GIVE_UP_S):
        raise Unsound("the load has not been delivered")
    return sent / took, loops


def _delivered(error: object, message: object) -> None:
    if error is not None:
        raise Unsound(f"an event of the load was not delivered: {error}")


def produce_to_feast(
    kafka: str, feature_store: Path, users: Sequence[str], items: Sequence[str], rate: float, seconds: float
) -> list[float]:
    """Milliseconds from just before the event is made to the first Feast read that shows its offset.

    Reads are a stock `get_online_features`, 1 ms apart or a tenth of what was waited already, which is what the figure
    is good to: a read takes a processor for longer than that, and a job that is late for want of one would be kept late
    by whoever asks without a pause.
    """
    from feast import FeatureStore

    from feature_repo.store import config

    store = FeatureStore(config=config(feature_store))
    wanted = ["user_activity:applied_partition", "user_activity:applied_offset"]
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0)
    chance = random.Random(1)
    found = []
    for _, started in paced(rate, seconds):
        event = Interaction(uuid.uuid4().hex, "click", chance.choice(users), now_ms(), chance.choice(items))
        key, value = key_of(event), codec.encode(event)
        place = producer.send(INTERACTIONS, key=key, value=value).get(timeout=GIVE_UP_S)
        while True:
            row = store.get_online_features(features=wanted, entity_rows=[{"user_id": event.user_id}]).to_dict()
            partition, offset = row["applied_partition"][0], row["applied_offset"][0]
            if partition == place.partition and offset is not None and offset >= place.offset:
                break
            waited = time.monotonic() - started
            if waited > GIVE_UP_S:
                raise Unsound(f"an event is not in Feast after {GIVE_UP_S:.0f} s")
            time.sleep(max(0.001, waited / 10))
        found.append((time.monotonic() - started) * 1000)
    producer.close()
    return found


def click_to_feed(
    host: str, port: int, users: Sequence[str], rate: float, seconds: float, fell_back_at_most: float = FELL_BACK
) -> list[float]:
    """Milliseconds from before `POST /v1/events` to the whole feed that reflects the click.

    Raises Unsound where a feed still holds the clicked item, is the same as before, or is not up to date; and where
    more than this share of the feeds were made without the store. Those are no samples.
    """
    connection = http.client.HTTPConnection(host, port, timeout=GIVE_UP_S)
    chance = random.Random(2)
    found = []
    fell_back = 0
    for _ in paced(rate, seconds):
        user = chance.choice(users)
        before = _ids(_call(connection, "GET", f"/v1/users/{user}/feed?n={SHOWN}"))
        clicked = before[chance.randrange(5)]
        click = {
            "event_id": uuid.uuid4().hex, "event_type": "click", "user_id": user, "item_id": clicked,
            "timestamp": now_ms(), "properties": {"surface": "home"},
        }  # fmt: skip
        body = json.dumps(click).encode()
        started = time.perf_counter()
        receipt = _call(connection, "POST", "/v1/events", body)
        answer = _call(connection, "GET", f"/v1/users/{user}/feed?n={SHOWN}&after={receipt['token']}")
        took = time.perf_counter() - started
        if answer["degraded"]:
            fell_back += 1
            continue
        found.append(took * 1000)
        after = _ids(answer)
        if clicked in after or after == before or not answer["freshness"]["caught_up"]:
            raise Unsound(f"the feed of {user} does not reflect a click: {answer['freshness']}")
    connection.close()
    if fell_back > fell_back_at_most * (len(found) + fell_back):
        raise Unsound(f"{fell_back} of {len(found) + fell_back} feeds fell back")
    return found


def _call(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> dict:  # type: ignore[type-arg]
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise Unsound(f"{method} {path}: {answer.status} {content[:200]!r}")
    return json.loads(content)


def _ids(feed: dict) -> list[str]:  # type: ignore[type-arg]
    return [entry["item_id"] for entry in feed["items"]]
