"""Feed latency and rate over a large catalogue, beside the sum of the bare parts of a feed, on one core.

The server has one core to itself; the client, Kafka and Redis share the other. The parts are a Feast read of the
person, the same `knn_query`s as the retrievers' and `session.run` over the inputs of 500 candidates, as a feed ranks
them, timed one after the other on the server's core. Feeds and parts take turns of a second or two, so that whatever
else the machine does happens to both.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import psutil
import uvloop

from bench import parts
from bench.errors import Unsound
from bench.report import Report, Target
from bench.stacks import Say, own_stack, send
from feature_repo.store import Writer
from feature_repo.views import item_operator, user, user_operator
from freshet.data.producer import Producer
from freshet.features import feast
from freshet.local import processes
from freshet.settings import Settings
from operators.contract import Record, Row
from operators.time import DAY
from recommend import filters
from recommend.model import Model
from schemas import bundle
from schemas.events import EventType, Interaction, Item
from schemas.topics import ITEM_FEATURES, features_key
from serving.feeds import FeedAnswer
from serving.hydrate import now_ms
from training import factors, train
from training.accepted import Log
from training.datasets import movielens
from training.replay import Catalogue as Items
from training.replay import Replay

DIM = 64
SHOWN = 20
CATEGORIES, BRANDS, CLUSTERS = 40, 500, 200
EVENTS_A_USER = 40
SERVER_CORE, OTHER_CORE = 0, 1
CANDIDATES = filters.RANKED
TURNS = 10
WARM_UP_S = 5.0
FELL_BACK = 0.01
"""of more feeds than this share that fell back, nothing is reported: a feed with less in it takes less time"""
TARGETS = (
    Target("feed_ms.p50", "≤", 8),
    Target("feed_ms.p99", "≤", 20),
    Target("feed_to_parts", "≤", 2.5),
    Target("feeds_per_s", "≥", 120),
)


def run(n_items: int, n_users: int, seconds: float, say: Say) -> Report:
    """Measures for `seconds` each: one request at a time, eight at a time, and the parts."""
    if (psutil.cpu_count() or 1) <= max(SERVER_CORE, OTHER_CORE):
        raise Unsound("two cores are needed: one for the server, one for the client")
    with own_stack(say) as stack:
        settings = stack.settings
        say(f"a model of {n_items:,} items")
        items = _catalogue(n_items)
        _publish(items, settings.bundles)
        say("catalogue, item features and people")
        send(settings, items)
        users = _people(settings, items, n_users)
        stack.up(["server"])
        _pin(settings)
        spawn = multiprocessing.get_context("spawn")
        asked = settings.host, settings.http_port, users
        bare = SERVER_CORE, settings.bundles, settings.feature_store, settings.kafka, tuple(users), CANDIDATES
        with ProcessPoolExecutor(1, spawn) as client, ProcessPoolExecutor(1, spawn) as other:
            client.submit(ask, *asked, 1, min(WARM_UP_S, seconds)).result()
            other.submit(parts.measure, *bare, 0.0).result()
            say("feeds one at a time, and their bare parts, in turn")
            feeds, sums = [], []
            for _ in range(TURNS):
                feeds += client.submit(ask, *asked, 1, seconds / TURNS).result()
                sums += other.submit(parts.measure, *bare, seconds / TURNS).result()
            say("feeds eight at a time")
            eight = client.submit(ask, *asked, 8, seconds).result()
    samples = {"feed_ms": np.array(feeds), "feed_at_8_ms": np.array(eight), "parts_ms": np.array(sums)}
    ratio = float(np.median(samples["feed_ms"]) / np.median(samples["parts_ms"]))
    figures = {"feeds_per_s": round(len(eight) / seconds, 1), "feed_to_parts": round(ratio, 2)}
    notes = {"items": n_items, "candidates": CANDIDATES, "people": n_users}
    return Report("feed", samples, figures, targets=TARGETS, notes=notes)


# -- what is there to be asked for -----------------------------------------------------------------


def _catalogue(n: int) -> list[Item]:
    chance = random.Random(3)
    now = now_ms()
    return [
        Item(
            f"i{k}", f"Item number {k}", [f"c{c}" for c in sorted(chance.sample(range(CATEGORIES), 2))],
            f"b{chance.randrange(BRANDS)}", round(chance.uniform(1, 99), 2), now - chance.randrange(900) * DAY,
        )
        for k in range(n)
    ]  # fmt: skip


def _publish(items: list[Item], bundles: Path) -> None:
    """Clustered unit vectors in an index built as training builds it, and the ranker of MovieLens-100K."""
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(CLUSTERS, DIM))
    vectors = factors.unit(
        centres[rng.integers(CLUSTERS, size=len(items))] + 0.7 * rng.normal(size=(len(items), DIM))
    ).astype(np.float32)
    content = factors.unit(rng.normal(size=(CATEGORIES, DIM))).astype(np.float32)
    tokens = [f"category:c{c}" for c in range(CATEGORIES)]
    space = factors.Space([i.item_id for i in items], vectors, tokens, content)
    data = movielens()
    with train.Steps(show=False) as steps:
        models = train.fit(Log.of(data.interactions, data.items), dim=DIM, seed=0, steps=steps)
        train.write(train.Models(space, models.ranker, {}), bundles, 0, steps.step("bundle"))


def _people(settings: Settings, items: list[Item], n: int) -> list[str]:
    """Rows of people and items as the job would write them, made by the replay driver."""
    chance = random.Random(5)
    kinds: tuple[EventType, ...] = ("view", "view", "click", "click", "like", "purchase")
    now = now_ms()
    world = Items(items)
    found = bundle.current(settings.bundles)
    assert found is not None
    world.space = Model.of(found, world.item).space
    replay = Replay(user_operator(world), item_operator(world))
    users = [f"u{k}" for k in range(n)]
    popular = [item.item_id for item in items[:: max(1, len(items) // 5000)]]
    total = n * EVENTS_A_USER
    for k in range(total):
        at = now - 5 * DAY * (total - k) // total
        event = Interaction(
            f"e{k}", chance.choice(kinds), users[k % n], at, chance.choice(popular),
            properties={"region": chance.choice(("DE", "FR"))},
        )  # fmt: skip
        replay.feed(Record(event, "interactions", 0, k))
    feast.apply(settings, lambda _: None)
    writer = Writer(settings.feature_store)
    names = [f.name for f in user.fields]
    rows = [Row(user.name, (u,), tuple(replay.user_row(u, now)[name] for name in names)) for u in users]
    for start in range(0, len(rows), 200):
        writer.write(rows[start : start + 200])
    encode = msgspec.msgpack.Encoder().encode
    with Producer(settings) as producer:
        for (item_id, part), state in replay.items.items():
            row = replay.item_operator.row(item_id, part, state, now)
            producer.send(ITEM_FEATURES, features_key(row.view, row.key).encode(), encode(row))
        producer.flush()
    return users


def _pin(settings: Settings) -> None:
    """The server has its core to itself."""
    for name in ("kafka", "redis", "server"):
        record = processes.load(settings.run, name)
        assert record is not None
        core = SERVER_CORE if name == "server" else OTHER_CORE
        for process in (psutil.Process(record.pid), *psutil.Process(record.pid).children(recursive=True)):
            for thread in process.threads():
                psutil.Process(thread.id).cpu_affinity([core])


# -- asking, in a process of its own ---------------------------------------------------------------


def ask(host: str, port: int, users: list[str], at_once: int, seconds: float) -> list[float]:
    """Milliseconds of each feed, `at_once` connections asking again as soon as they are answered.

    Raises Unsound where an answer is not a feed of SHOWN items, or where too many fell back.
    """
    psutil.Process().cpu_affinity([OTHER_CORE])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the client's own time is in the samples
        return runner.run(_ask(host, port, users, at_once, seconds))


async def _ask(host: str, port: int, users: list[str], at_once: int, seconds: float) -> list[float]:
    samples: list[float] = []
    until = time.perf_counter() + seconds
    people = _endless(users)
    fell_back = sum(
        await asyncio.gather(*(_client(host, port, people, until, samples) for _ in range(at_once))), Counter[str]()
    )
    if fell_back.total() > FELL_BACK * len(samples):
        raise Unsound(f"of {len(samples)} feeds, stages fell back: {dict(fell_back)}")
    return samples


def _endless(users: list[str]) -> Iterator[str]:
    chance = random.Random(6)
    while True:
        yield chance.choice(users)


async def _client(host: str, port: int, people: Iterator[str], until: float, samples: list[float]) -> Counter[str]:
    """Returns how often each stage fell back."""
    fell_back: Counter[str] = Counter()
    reader, writer = await asyncio.open_connection(host, port)
    decode = msgspec.json.Decoder(FeedAnswer).decode
    while time.perf_counter() < until:
        who = next(people)
        started = time.perf_counter()
        writer.write(f"GET /v1/users/{who}/feed?n={SHOWN} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        samples.append((time.perf_counter() - started) * 1000)
        answer = decode(body)
        fell_back.update(answer.degraded)
        if b" 200 " not in head[:20] or len(answer.items) != SHOWN:
            raise Unsound(f"an answer is not a whole feed: {head[:40]!r} {body[:200]!r}")
    writer.close()
    await writer.wait_closed()
    return fell_back
