"""A synthetic catalogue of any size, a bundle over it, and people with a history."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hnswlib
import msgspec
import numpy as np
import numpy.typing as npt
import psutil

from feature_repo import item_rows
from feature_repo.builders import item_operator, user_operator
from feature_repo.store import Writer
from feature_repo.views import user
from freshet.data.producer import Producer
from freshet.features import feast
from freshet.settings import Settings
from operators.contract import Record, Row
from operators.space import BundleSpace
from operators.time import DAY
from recommend.priors import EVEN, LASTING, POPULARITY, TOKENS, VECTORS
from schemas import bundle
from schemas.clock import now_ms
from schemas.events import EventType, Interaction, Item
from schemas.topics import ITEM_FEATURES, features_key
from training import factors, train
from training.accepted import Log
from training.datasets import movielens
from training.replay import KnownItems, Replay

DIM = 64
CATEGORIES, BRANDS, CLUSTERS = 40, 500, 200
COUNTRIES = "at", "ch", "de", "fr", "it", "nl", "pl", "us"
EVENTS_A_USER = 40
EF_CONSTRUCTION = 60
"""less than a third of what training uses, and so of the time; the links of a node, which decide what a search costs,
are as many, but lead to fewer of the nearest"""
POPULAR = 5000
CHUNK = 100_000
NO_OTHERS: Mapping[str, Callable[[int], str]] = {}


def catalogue(n: int) -> Iterator[Item]:
    """`n` items with a title, two categories, a brand, a price and an age of up to 900 days."""
    chance = random.Random(3)
    now = now_ms()
    for k in range(n):
        yield Item(
            f"i{k}", f"Item number {k}", [f"c{c}" for c in sorted(chance.sample(range(CATEGORIES), 2))],
            f"b{chance.randrange(BRANDS)}", round(chance.uniform(1, 99), 2), now - chance.randrange(900) * DAY,
        )  # fmt: skip


def attributed(n: int, others: Mapping[str, Callable[[int], str]] = NO_OTHERS) -> list[Item]:
    """The items of `catalogue(n)`, each with a `chance` of 0 … 1 and with `others` (name → value by number) among its
    attributes."""
    chance = np.random.default_rng(8).permutation(n) / n
    return [
        msgspec.structs.replace(
            item, attributes={"chance": float(chance[k]), **{name: of_number(k) for name, of_number in others.items()}}
        )
        for k, item in enumerate(catalogue(n))
    ]


def space(n: int, seed: int = 4) -> factors.FittedSpace:
    """Clustered unit vectors (n, DIM) of the items of `catalogue(n)`, others for each seed."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, DIM)).astype(np.float32)
    vectors = np.empty((n, DIM), np.float32)
    for start in range(0, n, CHUNK):
        some = vectors[start : start + CHUNK]
        noise = rng.standard_normal(some.shape, np.float32)
        some[:] = factors.unit(centres[rng.integers(CLUSTERS, size=len(some))] + np.float32(0.7) * noise)
    content = factors.unit(rng.normal(size=(CATEGORIES, DIM))).astype(np.float32)
    learned = np.zeros(n, np.uint64)
    tokens = [f"category:c{c}" for c in range(CATEGORIES)]
    return factors.FittedSpace([f"i{k}" for k in range(n)], vectors, learned, tokens, content)


def priors(n: int) -> dict[str, npt.NDArray[Any]]:
    """The table of priors, as training makes it: how many people have met each of `n` items, in doublings relative to
    the most, and how the taste of people of each of COUNTRIES differs."""
    rng = np.random.default_rng(10)
    people = rng.pareto(1.0, n) + 1.0
    tokens = [f"country={name}" for name in COUNTRIES]
    return {
        POPULARITY: np.log2(people / people.max(initial=1.0)).astype(np.float32),
        TOKENS: np.array(tokens, np.str_),
        VECTORS: (0.2 * factors.unit(rng.normal(size=(len(tokens), DIM)))).astype(np.float32),
        LASTING: np.array([EVEN], np.float32),
    }


def publish(n: int, bundles: Path, ef_construction: int = EF_CONSTRUCTION) -> float:
    """Publishes a bundle of `n` synthetic items with priors and the ranker of MovieLens-100K. Returns the seconds
    that it took to build its index on all processors."""
    took = 0.0

    def build(vectors: Any, seed: int) -> Any:
        nonlocal took
        began = time.perf_counter()
        made = parallel_index(vectors, seed, ef_construction)
        took = time.perf_counter() - began
        return made

    with train.Steps(show=False) as steps:
        models = train.Models(space(n), ranker(), {}, priors=priors(n))
        train.write(models, bundles, 0, steps.step("bundle"), build)
    return took


def ranker() -> bytes:
    """The ONNX ranker of MovieLens-100K."""
    data = movielens()
    with train.Steps(show=False) as steps:
        return train.fit(Log.of(data.interactions, data.items), dim=DIM, seed=0, steps=steps).ranker


def parallel_index(vectors: Any, seed: int, ef_construction: int = EF_CONSTRUCTION) -> Any:
    """An HNSW index as training builds it, on all processors: which links it has depends on their timing."""
    made = hnswlib.Index(space="ip", dim=vectors.shape[1])
    made.init_index(max_elements=len(vectors), M=train.M, ef_construction=ef_construction, random_seed=seed)
    made.add_items(vectors, np.arange(len(vectors)), num_threads=psutil.cpu_count() or 1)
    return made


def replayed(
    found: bundle.Bundle, items: Sequence[Item], users: Sequence[str], now: int, regions: Sequence[str]
) -> Replay:
    """The state after EVENTS_A_USER events of each of the users with popular ones of the items, over the five days
    until `now`, epoch ms, with user vectors in the bundle's space."""
    chance = random.Random(5)
    kinds: tuple[EventType, ...] = ("view", "view", "click", "click", "like", "purchase")
    world = KnownItems(items)
    world.space = BundleSpace.of(found, world.item)
    replay = Replay(user_operator(world), item_operator(world))
    popular = [item.item_id for item in items[:: max(1, len(items) // POPULAR)]]
    total = len(users) * EVENTS_A_USER
    for k in range(total):
        at = now - 5 * DAY * (total - k) // total
        event = Interaction(
            f"e{k}", chance.choice(kinds), users[k % len(users)], at, chance.choice(popular),
            properties={"region": chance.choice(regions)},
        )  # fmt: skip
        replay.feed(Record(event, "interactions", 0, k))
    return replay


def people(
    settings: Settings, items: Sequence[Item], n: int, attributes: Callable[[int], dict[str, Any]] | None = None
) -> list[str]:
    """Rows of `n` people and of the items that they met, as the job would write them with the bundle in force, made by
    the replay driver; with `attributes` of the profile, by number. Returns the people's ids."""
    now = now_ms()
    found = bundle.current(settings.bundles)
    assert found is not None
    users = [f"u{k}" for k in range(n)]
    replay = replayed(found, items, users, now, ("DE", "FR"))
    feast.apply(settings, lambda _: None)
    writer = Writer(settings.feature_store, clock=now_ms)
    names = [f.name for f in user.fields]
    rows = []
    for k, who in enumerate(users):
        values = replay.user_row(who, now)
        if attributes is not None:
            values["profile_attributes"] = msgspec.msgpack.encode(attributes(k))
        rows.append(Row(user.name, (who,), tuple(values[name] for name in names)))
    for start in range(0, len(rows), 200):
        writer.write(rows[start : start + 200])
    with Producer(settings) as producer:
        for (item_id, part), state in replay.items.items():
            row = replay.item_operator.row(item_id, part, state, now)
            producer.send(ITEM_FEATURES, features_key(row.view, row.key).encode(), item_rows.encode(row))
        producer.flush()
    return users
