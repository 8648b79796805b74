"""A replay goes on while Flink is killed and Redis's connections are cut; nothing is lost or counted twice."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import redis
from feast import FeatureStore
from kafka import KafkaProducer
from msgspec import structs

from feature_repo.builders import item_operator, user_operator
from feature_repo.store import config
from feature_repo.views import user
from follow import to_end
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.contract import Record
from operators.seen import seen_hashes
from operators.space import BundleSpace
from operators.time import DAY, MINUTE
from schemas import bundle, codec
from schemas.events import Event, Impression, Interaction
from schemas.topics import EXAMPLES, INTERACTIONS, ITEMS, key_of, topic_of
from tests.bundles import write_bundle
from training import datasets
from training.replay import KnownItems, Replay

EVENTS = int(os.environ.get("LOST_EVENTS", "24000"))
RATE = 1500
DEADLINE_S = 240
COMPARED = [f for a in user.aggregations for f in a.fields]
MET = [f for f in user.extra if f.name.startswith("seen")]
"""the other fields of the state may be encoded in several ways, by what had changed since when"""


def squeezed(events: list[Interaction], run: str) -> Iterator[Interaction]:
    """The events over the last five days instead of seven months, so that windows hold some of them; with ids of this
    run alone, for the stack is shared."""
    first, last = events[0].timestamp, events[-1].timestamp
    now = int(time.time() * 1000)
    for event in events:
        share = (last - event.timestamp) / (last - first)
        at = now - int(share * 5 * DAY)
        yield structs.replace(event, event_id=f"{run}-{event.event_id}", user_id=f"{run}-{event.user_id}", timestamp=at)


def same(name: str, stored: Any, expected: Any) -> bool:
    """Equal; floats to 1e-5."""
    if isinstance(expected, list) and expected and isinstance(expected[0], float):
        return len(stored) == len(expected) and bool(np.allclose(stored, expected, atol=1e-5))
    if isinstance(expected, float):
        return math.isclose(stored, expected, rel_tol=1e-5, abs_tol=1e-5)
    return bool(stored == expected)


def differences(store: FeatureStore, replay: Replay, users: list[str]) -> list[str]:
    """What differs between the store and the replay driver, each read as of the same moment."""
    found = []
    for start in range(0, len(users), 100):
        chunk = users[start : start + 100]
        before = int(time.time() * 1000)
        rows = store.get_online_features(
            features=[f"user_activity:{f.name}" for f in [*COMPARED, *MET]],
            entity_rows=[{"user_id": u} for u in chunk],
        ).to_dict()
        after = int(time.time() * 1000)
        for position, who in enumerate(chunk):
            early, late = replay.user_row(who, before), replay.user_row(who, after)
            seen = seen_hashes({f.name: rows[f.name][position] or b"" for f in MET})
            if set(seen.tolist()) != set(seen_hashes(late).tolist()):
                found.append(f"{who} has met {len(seen)} items, expected {len(seen_hashes(late))}")
            for f in COMPARED:
                stored = rows[f.name][position]
                stored = f.default if stored is None else stored
                if not (same(f.name, stored, early[f.name]) or same(f.name, stored, late[f.name])):
                    found.append(f"{who}.{f.name}: stored {stored!r:.200}, expected {late[f.name]!r:.200}")
    return found


LISTS = 400
BEYOND = 4 * MINUTE + 10
"""past the window and what may come late; less than a client's clock may be ahead"""


def visit(run: str, n: int, at: int) -> list[Event]:
    """Somebody new is shown three films, clicks one and likes another."""
    shown = Impression(f"{run}-r{n}", f"{run}-guest-{n}", at, ["1", "2", "3"], model_version="v1", features=bytes(24))
    return [
        shown,
        Interaction(f"{run}-c{n}", "click", shown.user_id, at + 1, "2", None, shown.request_id),
        Interaction(f"{run}-l{n}", "like", shown.user_id, at + 2, "3", None, shown.request_id),
    ]


def examples_in_files(settings: Settings, lists: Sequence[str]) -> Counter[tuple[str, int, str]]:
    """(request, position, labels) of every row of these lists: other tests have shown some on the same stack."""
    files = (settings.archive / "examples").glob("day=*/part-*")
    found = pa.concat_tables([pq.read_table(f, partitioning=None) for f in files] or [pa.table({"request_id": []})])
    found = found.filter(pc.is_in(found["request_id"].cast(pa.string()), pa.array(lists)))
    if not len(found):
        return Counter()
    assert {len(features) for features in found["features"].to_pylist()} == {8}
    return Counter(zip(*(found[name].to_pylist() for name in ("request_id", "position", "labels")), strict=True))


def checkpoints(settings: Settings) -> set[Path]:
    """Those that are complete."""
    return set(settings.checkpoints.glob("*/chk-*/_metadata"))


@pytest.fixture
def quick(stack: Stack) -> Iterator[Callable[[int], None]]:
    """Starts the job of the shared stack with so many slots, checkpoints every four seconds and a short attribution.
    Afterwards it is stopped, and the next test that asks for a job starts one with the settings that all tests have."""
    with pytest.MonkeyPatch.context() as patch:

        def start(slots: int) -> None:
            patch.setenv("FRESHET_PARALLELISM", str(slots))
            patch.setenv("FRESHET_CHECKPOINT_SECONDS", "4")
            patch.setenv("FRESHET_ATTRIBUTION_MINUTES", "2")
            patch.setenv("FRESHET_ATTRIBUTION_LATE_MINUTES", "2")
            # Not with a job that another test has left: it takes up the bundle a second later, and vectors begin anew
            # then.
            stack.restart("flink")

        try:
            yield start
        finally:
            stack.down(["flink"])


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("slots", [1, pytest.param(2, marks=pytest.mark.proof)])
def test_kill_flink_and_cut_redis(
    stack: Stack, quick: Callable[[int], None], slots: int, request: pytest.FixtureRequest
) -> None:
    data, run = datasets.movielens(), f"lost{slots}"
    events = list(squeezed(data.interactions[:EVENTS], run))
    version = write_bundle(stack.settings.bundles, [i.item_id for i in data.items[:1200]], dim=64, version=run)
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka, linger_ms=5, acks="all")
    for item in data.items:
        producer.send(ITEMS, key=key_of(item), value=codec.encode(item))
    producer.flush()
    quick(slots)

    world = KnownItems(data.items)
    world.space = BundleSpace.of(bundle.load(stack.settings.bundles / version), world.item)
    replay = Replay(user_operator(world), item_operator(world))
    sent: list[Any] = []
    resumed, over = threading.Event(), threading.Event()

    def produce() -> None:
        started = time.monotonic()
        for n, event in enumerate(events):
            if over.is_set():
                return
            if n % 50 == 0:
                time.sleep(max(0.0, started + n / RATE - time.monotonic()))
            if n == len(events) * 3 // 4:  # a busy machine may take long to start Flink again
                resumed.wait(DEADLINE_S)
            sent.append(producer.send(INTERACTIONS, key=key_of(event), value=codec.encode(event)))
            if n % (len(events) // LISTS) == 0:
                for each in visit(run, n, int(time.time() * 1000)):
                    producer.send(topic_of(each), key=key_of(each), value=codec.encode(each))
        producer.flush()

    thread = threading.Thread(target=produce, daemon=True)

    def end() -> None:
        """Nothing is sent any more where the test has failed."""
        over.set()
        resumed.set()
        thread.join(30)
        producer.close(timeout=30)

    thread.start()
    request.addfinalizer(end)
    deadline = time.monotonic() + DEADLINE_S
    while len(sent) < len(events) // 8:
        assert thread.is_alive(), "the producer has failed"
        assert time.monotonic() < deadline, f"{len(sent)} events sent"
        time.sleep(0.1)
    # One of this job alone, with some of its events: earlier jobs of the stack have left theirs.
    earlier = checkpoints(stack.settings)
    while not checkpoints(stack.settings) - earlier:
        assert thread.is_alive(), "the producer has failed"
        assert time.monotonic() < deadline, "no checkpoint was completed"
        time.sleep(0.1)
    stack.kill("flink")
    stack.up(["flink"])
    assert len(sent) < len(events), "the replay must still be under way"
    client = redis.Redis(port=stack.settings.redis_port)
    deadline = time.monotonic() + DEADLINE_S
    while not client.client_kill_filter(_type="normal", skipme=True):  # the job connects with its first row
        assert time.monotonic() < deadline
        time.sleep(0.01)
    resumed.set()
    thread.join(DEADLINE_S + len(events) / RATE)
    assert not thread.is_alive(), f"{len(sent)} events sent"
    client.close()

    for event, future in zip(events, sent, strict=True):
        placed = future.get(timeout=30)
        replay.feed(Record(event, INTERACTIONS, placed.partition, placed.offset))
    assert not replay.dead
    users = sorted(user_id for user_id, _ in replay.users)
    store = FeatureStore(config=config(stack.settings.feature_store))
    deadline = time.monotonic() + DEADLINE_S
    while found := differences(store, replay, users):
        assert time.monotonic() < deadline, f"{len(found)} differ: {found[:5]}"
        time.sleep(2)
    counted = sum(sum(replay.user_row(u, int(time.time() * 1000))["events_7d"]) for u in users)
    assert counted == len(events)

    # What each guest does much later closes their list. Not before the job has read everything: of two topics it may
    # read one ahead of the other, and a click waits for a list that comes after it no longer than the list is open.
    for n in range(0, len(events), len(events) // LISTS):
        late = Interaction(f"{run}-s{n}", "search", f"{run}-guest-{n}", int(time.time() * 1000) + BEYOND)
        producer.send(INTERACTIONS, key=key_of(late), value=codec.encode(late))
    producer.flush()
    lists = [f"{run}-r{n}" for n in range(0, len(events), len(events) // LISTS)]
    said = ["{}", '{"click":1}', '{"like":1}']
    expected = Counter({(r, position, labels): 1 for r in lists for position, labels in enumerate(said)})
    deadline = time.monotonic() + DEADLINE_S
    while (in_files := examples_in_files(stack.settings, lists)) != expected:
        assert time.monotonic() < deadline, (expected - in_files, in_files - expected)
        time.sleep(2)
    # A set: Flink's Kafka sink writes at least once, so that what was written after the last checkpoint before the kill
    # is written again. Repetitions are equal, or the sets would differ; the files hold each example once.
    in_kafka = {
        (e.request_id, e.position, msgspec.json.encode(e.labels).decode())
        for e in (codec.decode(EXAMPLES, m.value or b"") for m in to_end.read(stack.settings.connection, [EXAMPLES]))
    }
    assert {each for each in in_kafka if each[0] in lists} == set(expected)
