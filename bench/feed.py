"""Feed latency and rate over a large catalogue, beside the sum of the bare parts of a feed, on one core.

The server has one core to itself; the client, Kafka and Redis share the other. The parts are a Feast read of the
person, the same `knn_query`s as the retrievers', and `session.run` over 500 candidates, timed one after the other on
the server's core, in the same run, for the same people.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import psutil

from bench.errors import Unsound
from bench.report import Report, Target
from bench.stacks import Say, own_stack, send
from feature_repo.store import UserReader, Writer
from feature_repo.views import item_operator, user, user_operator
from freshet import feast, processes
from freshet.producer import Producer
from freshet.settings import Settings
from operators.contract import Record, Row
from operators.time import DAY
from schemas import bundle
from schemas.events import EventType, Interaction, Item
from schemas.topics import ITEM_FEATURES
from serving import filters, retrievers
from serving.catalogue import Catalogue, Generation
from serving.feeds import FeedAnswer
from serving.hydrate import now_ms
from serving.model import Model
from serving.pipeline import retrieve
from serving.popular import Popular
from serving.query import FeedRequest, Query
from training import factors, train
from training.datasets import movielens
from training.examples import Log
from training.replay import Catalogue as Items
from training.replay import Replay

DIM = 64
SHOWN = 20
CATEGORIES, BRANDS, CLUSTERS = 40, 500, 200
EVENTS_A_USER = 40
SERVER_CORE, OTHER_CORE = 0, 1
CANDIDATES = filters.RANKED
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
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            address = settings.host, settings.http_port
            pool.submit(ask, *address, users, 1, min(5.0, seconds)).result()
            alone = np.array(pool.submit(ask, *address, users, 1, seconds).result())
            began = time.perf_counter()
            eight = np.array(pool.submit(ask, *address, users, 8, seconds).result())
            say(f"eight at a time: {len(eight)} feeds in {time.perf_counter() - began:.0f} s")
        stack.down(["server"])
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            parts = np.array(pool.submit(bare_parts, settings.bundles, settings.feature_store, users, seconds).result())
    ratio = float(np.median(alone) / np.median(parts))
    figures = {"feeds_per_s": round(len(eight) / seconds, 1), "feed_to_parts": round(ratio, 2)}
    notes = {"items": n_items, "candidates": CANDIDATES, "people": n_users}
    samples = {"feed_ms": alone, "feed_at_8_ms": eight, "parts_ms": parts}
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
            producer.send(ITEM_FEATURES, "|".join((row.view, *row.key)).encode(), encode(row))
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

    Raises Unsound where an answer is not a whole feed.
    """
    psutil.Process().cpu_affinity([OTHER_CORE])
    return asyncio.run(_ask(host, port, users, at_once, seconds))


async def _ask(host: str, port: int, users: list[str], at_once: int, seconds: float) -> list[float]:
    samples: list[float] = []
    until = time.perf_counter() + seconds
    people = _endless(users)
    await asyncio.gather(*(_client(host, port, people, until, samples) for _ in range(at_once)))
    return samples


def _endless(users: list[str]) -> Iterator[str]:
    chance = random.Random(6)
    while True:
        yield chance.choice(users)


async def _client(host: str, port: int, people: Iterator[str], until: float, samples: list[float]) -> None:
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
        if b" 200 " not in head[:20] or len(answer.items) != SHOWN or answer.degraded:
            raise Unsound(f"an answer is not a whole feed: {head[:40]!r} {body[:200]!r}")
    writer.close()
    await writer.wait_closed()


# -- the bare parts, in a process of their own -----------------------------------------------------


def bare_parts(bundles: Path, feature_store: Path, users: list[str], seconds: float) -> list[float]:
    """Milliseconds of Feast read + knn_query + session.run for people at random.

    Raises Unsound where a feed of one of them would not rank CANDIDATES candidates.
    """
    psutil.Process().cpu_affinity([SERVER_CORE])
    found = bundle.current(bundles)
    assert found is not None
    generation = Generation.of(Model.of(found, Catalogue().item))
    model, columns = generation.model, generation.columns
    assert model is not None
    reader, popular = UserReader(feature_store, 5.0), Popular(columns, 3600.0)
    inputs = np.random.default_rng(7).random((CANDIDATES, len(found.manifest.features))).astype(np.float32)
    samples: list[float] = []
    people = _endless(users)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        who = next(people)
        row = reader.read(who)
        assert row is not None
        query = Query(FeedRequest(row, now_ms(), "", SHOWN), columns, model, popular)
        if len(samples) % 100 == 0:
            retrieve(query)
            filters.apply(query)
            if len(query.rows) != CANDIDATES:
                raise Unsound(f"a feed of {who} ranks {len(query.rows)} candidates instead of {CANDIDATES}")
        k = retrievers.NEAREST + min(len(query.seen), retrievers.ALLOWANCE)
        vector = np.asarray(row["vector"], np.float32)[None]
        recent = columns.vectors[query.anchors.rows[: retrievers.RECENTS]]
        started = time.perf_counter()
        reader.read(who)
        model.index.nearest(vector, k)
        model.index.nearest(recent, retrievers.SIMILAR + 1)
        model.ranker.score(inputs)
        samples.append((time.perf_counter() - started) * 1000)
    return samples
