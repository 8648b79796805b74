"""Processes that load and probe a stack. Each is separate, so that none delays another one's clock."""

from __future__ import annotations

import http.client
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from kafka import KafkaProducer

from bench import stacks
from bench.pace import paced
from bench.stacks import shuffled
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Interaction
from schemas.topics import INTERACTIONS, key_of

PATIENCE_S = 60.0
"""for so long one event or answer is waited for; then it counts as lost, with the time waited as its sample"""
SHOWN = 20
LOST = "lost"


class Load(NamedTuple):
    """Events a second that were sent, and how many of them Kafka did not acknowledge."""

    per_s: float
    undelivered: int


class Probed(NamedTuple):
    """Milliseconds, and errors by kind."""

    ms: list[float]
    wrong: Counter[str]


def background(kafka: str, rate: float, seconds: float, enough: Event) -> Load:
    """Real ratings with the present time, at `rate` a second, until `enough` is set or for so many seconds."""
    from training.datasets import movielens

    events = shuffled(movielens().interactions)
    producer = stacks.producer(kafka)
    started = time.perf_counter()
    sent = undelivered = 0

    def delivered(error: object, message: object) -> None:
        nonlocal undelivered
        undelivered += error is not None

    for number, _ in paced(rate, seconds):
        if number % int(rate) == 0 and enough.is_set():
            break
        event = events[number % len(events)]
        fresh = Interaction(
            f"load-{uuid.uuid4().hex}", event.event_type, event.user_id, now_ms(), event.item_id,
            properties=event.properties,
        )  # fmt: skip
        producer.produce(INTERACTIONS, key=key_of(fresh), value=codec.encode(fresh), on_delivery=delivered)
        producer.poll(0)
        sent += 1
    took = time.perf_counter() - started
    undelivered += producer.flush(PATIENCE_S)
    return Load(sent / took, undelivered)


def produce_to_feast(
    kafka: str, feature_store: Path, users: Sequence[str], items: Sequence[str], rate: float, seconds: float
) -> Probed:
    """Milliseconds from just before the event is made to the first Feast read that shows its offset.

    Reads are a stock `get_online_features`, 1 ms apart or a tenth of the time waited so far, which is the resolution of
    the sample: a read takes a processor for longer than that, and polling without a pause would slow the job down.
    """
    from feast import FeatureStore

    from feature_repo.store import config

    store: Any = FeatureStore(config=config(feature_store))
    wanted = ["user_activity:applied_partition", "user_activity:applied_offset"]
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0)
    chance = random.Random(1)
    found = Probed([], Counter())
    for _, started in paced(rate, seconds):
        event = Interaction(uuid.uuid4().hex, "click", chance.choice(users), now_ms(), chance.choice(items))
        key, value = key_of(event), codec.encode(event)
        try:
            place = producer.send(INTERACTIONS, key=key, value=value).get(timeout=PATIENCE_S)
        except Exception as error:  # counted, so that the report shows the figures that there are
            found.wrong[f"not produced: {type(error).__name__}"] += 1
            continue
        while True:
            row = store.get_online_features(features=wanted, entity_rows=[{"user_id": event.user_id}]).to_dict()
            partition, offset = row["applied_partition"][0], row["applied_offset"][0]
            waited = time.monotonic() - started
            if partition == place.partition and offset is not None and offset >= place.offset:
                break
            if waited > PATIENCE_S:
                found.wrong[LOST] += 1
                break
            time.sleep(max(0.001, waited / 10))
        found.ms.append((time.monotonic() - started) * 1000)
    producer.close()
    return found


def click_to_feed(host: str, port: int, users: Sequence[str], rate: float, seconds: float) -> Probed:
    """Milliseconds from before `POST /v1/events` to the whole feed that reflects the click.

    Counted as wrong, and no sample: a request that failed, a feed made without the store, one that holds the clicked
    item still, equals the one before, or has `caught_up: false`.
    """
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    chance = random.Random(2)
    found = Probed([], Counter())
    for _ in paced(rate, seconds):
        user = chance.choice(users)
        try:
            before = _ids(_call(connection, "GET", f"/v1/users/{user}/feed?n={SHOWN}"))
            clicked = before[chance.randrange(5)]
            body = json.dumps(click(user, clicked)).encode()
            started = time.perf_counter()
            receipt = _call(connection, "POST", "/v1/events", body)
            answer = _call(connection, "GET", f"/v1/users/{user}/feed?n={SHOWN}&after={receipt['token']}")
            took = time.perf_counter() - started
        except Failed as failed:
            found.wrong[str(failed)] += 1
            continue
        except (OSError, http.client.HTTPException, IndexError) as error:
            found.wrong[type(error).__name__] += 1
            connection.close()  # it is opened again by the next request
            continue
        after = _ids(answer)
        if answer["degraded"]:
            found.wrong["fell back"] += 1
        elif clicked in after or after == before or not answer["freshness"]["caught_up"]:
            found.wrong["does not reflect the click"] += 1
        else:
            found.ms.append(took * 1000)
    connection.close()
    return found


def click(user_id: str, item_id: str) -> dict[str, Any]:
    """A new click as the body of `POST /v1/events`."""
    return {
        "event_id": uuid.uuid4().hex, "event_type": "click", "user_id": user_id, "item_id": item_id,
        "timestamp": now_ms(), "properties": {"surface": "home"},
    }  # fmt: skip


class Failed(Exception):
    """An answer that is an error."""


def _call(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> Any:
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise Failed(f"{method} answered {answer.status}")
    return json.loads(content)


def _ids(feed: Any) -> list[str]:
    return [entry["item_id"] for entry in feed["items"]]
