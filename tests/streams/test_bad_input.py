"""10,000 broken messages among good ones: the job stays up, each is in the dead-letter topic with a reason
that names its field, and every good event arrives."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Collection
from typing import Any

import httpx
import pytest
from feast import FeatureStore
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from feature_repo.store import config
from freshet.local.stack import Stack
from schemas.topics import INTERACTIONS, dlq
from streams.wire import LETTER_PAYLOAD_BYTES
from tests.streams import fuzz

N_BAD = 10_000
N_GOOD = 2_000
USERS = [f"fuzz-{n}" for n in range(20)]
UNDECODABLE = {"undecodable", "unknown_schema"}


Place = tuple[int, int]
"""partition and offset of a message"""


def _letters(kafka: str, places: Collection[Place]) -> dict[Place, dict[str, Any]]:
    """The dead letters of these messages; those of other tests are in the topic too."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    partition = TopicPartition(dlq(INTERACTIONS), 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    found: dict[Place, dict[str, Any]] = {}
    deadline = time.monotonic() + 90
    while len(found) < len(places) and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=500).values():
            for letter in (json.loads(r.value) for r in records):
                if (place := (letter["partition"], letter["offset"])) in places:
                    found[place] = letter
    consumer.close()
    return found


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_every_broken_message_is_accounted_for(stack: Stack) -> None:
    stack.up(["flink"])
    rng = random.Random(11)
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka, linger_ms=5, acks="all")
    goods: dict[str, int] = dict.fromkeys(USERS, 0)

    def send_good(n: int) -> None:
        user = USERS[n % len(USERS)]
        fields = fuzz.good(n, user, int(time.time() * 1000))
        producer.send(INTERACTIONS, key=user.encode(), value=fuzz.avro(fields))
        goods[user] += 1

    send_good(0)
    placed: dict[Place, fuzz.Bad] = {}
    waiting = []
    for n in range(N_BAD):
        found = fuzz.bad(rng, n, USERS, "good-0")
        waiting.append((found, producer.send(INTERACTIONS, key=found.key, value=found.value)))
        if n % (N_BAD // N_GOOD) == 0:
            send_good(1 + n * N_GOOD // N_BAD)
    for found, future in waiting:
        meta = future.get(timeout=60)
        placed[meta.partition, meta.offset] = found
    producer.close()

    letters = _letters(stack.settings.kafka, placed)
    missing = [found.kind for place, found in placed.items() if place not in letters]
    assert not missing, f"{len(missing)} not in the dead-letter topic: {set(missing)}"
    for place, found in placed.items():
        letter = letters[place]
        assert letter["detail"], found
        if found.field:
            assert letter["field"] == found.field, (found.kind, letter["field"], letter["detail"])
        elif found.kind not in ("truncated", "noise", "trailing bytes"):
            assert letter["reason"] in UNDECODABLE, (found.kind, letter)
        assert base64.b64decode(letter["payload"]) == (found.value or b"")[:LETTER_PAYLOAD_BYTES]

    jobs = httpx.get(f"{stack.settings.flink_url}/jobs/overview", trust_env=False).json()["jobs"]
    assert [job["state"] for job in jobs] == ["RUNNING"]
    store = FeatureStore(config=config(stack.settings.feature_store))
    deadline = time.monotonic() + 30
    while True:
        rows = store.get_online_features(
            features=["user_activity:events_7d"], entity_rows=[{"user_id": u} for u in USERS]
        ).to_dict()
        arrived = {u: sum(v or []) for u, v in zip(USERS, rows["events_7d"], strict=True)}
        if arrived == goods or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert arrived == goods
