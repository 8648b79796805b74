"""Measures how soon an answer changes after what it depends on has changed, over HTTP and under a steady load.

    item_to_similar    a new item is posted     → it is in the list of items similar to one like it
    item_to_feed       a new item is posted     → it is in the feed of a person of its categories
    sold_out           an item becomes unavailable → it is in no feed, similar list or trending list that had it
    basket             two items are bought     → each is in what is bought together with the other

Each sample counts from before its POST to the end of the first answer that shows the change. Requests follow one
another with a pause of POLL_S or a tenth of the time waited, which is the resolution of the sample.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from bench import probes
from bench.machine import Rounds
from bench.quiet import quiet
from bench.report import Report, Target
from bench.stacks import Say, load_movielens, own_stack
from freshet.settings import Settings
from schemas.clock import now_ms
from schemas.events import Item
from training.datasets import Dataset

RATE = 100.0
WARM_UP_S = 15.0
SPARE_S = 1200.0
POLL_S = 0.005
PATIENCE_S = 20.0
SHOWN = 200
NAMES = "item_to_similar", "item_to_feed", "sold_out", "basket"
TARGETS = tuple(Target(f"{name}_ms.p99", "≤", 1000) for name in NAMES)


class Shop(NamedTuple):
    """The server, and the catalogue that is in it."""

    host: str
    port: int
    items: Sequence[Item]


@dataclass
class Reactions:
    """Milliseconds by name, and what went wrong, by kind."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, other: Reactions) -> None:
        for name, values in other.ms.items():
            self.ms[name] += values
        self.wrong += other.wrong


def run(probes_of_each: int, attempts: int, say: Say) -> Report:
    """So many samples of each kind, on the whole stack with MovieLens under RATE events a second."""
    rounds, spawn = Rounds(say, attempts), multiprocessing.get_context("spawn")
    with own_stack(say) as stack:
        data = load_movielens(stack.settings, say)
        stack.up()
        with spawn.Manager() as manager, ProcessPoolExecutor(2, spawn, quiet) as pool:
            enough = manager.Event()
            load = pool.submit(probes.background, stack.settings.kafka, RATE, SPARE_S, enough)
            try:
                time.sleep(WARM_UP_S)
                say(f"{probes_of_each} changes of each kind at {RATE:.0f} events/s")
                found = rounds.measure("reactions", partial(_submitted, pool, stack.settings, data, probes_of_each))
            finally:
                enough.set()
            load.result()
    return report(found, probes_of_each, rounds)


def _submitted(pool: ProcessPoolExecutor, settings: Settings, data: Dataset, n: int) -> Reactions:
    return pool.submit(reactions, Shop(settings.host, settings.http_port, data.items), n, time.time_ns()).result()


def report(found: Reactions, n: int, rounds: Rounds | None) -> Report:
    """The samples; a change that was not seen in PATIENCE_S is a failure, and its time a sample."""
    failures = [f"{kind}: {count} of {n}" for kind, count in found.wrong.items()]
    return Report(
        "reactions",
        samples={f"{name}_ms": np.array(values) for name, values in found.ms.items()},
        figures={"load_events_per_s": RATE},
        targets=TARGETS,
        failures=failures,
        rounds=rounds,
    )


# -- asking, in a process of its own ---------------------------------------------------------------


class Client:
    """Requests over one connection."""

    def __init__(self, place: Shop) -> None:
        self._connection = http.client.HTTPConnection(place.host, place.port, timeout=PATIENCE_S)

    def post(self, path: str, document: Any) -> Any:
        body = msgspec.json.encode(document)
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        return self._answer()

    def ids(self, path: str) -> list[str]:
        """The item ids of a list."""
        self._connection.request("GET", path)
        return [entry["item_id"] for entry in self._answer()["items"]]

    def _answer(self) -> Any:
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise probes.Failed(f"{answer.status}: {content[:200]!r}")
        return json.loads(content)


def reactions(place: Shop, n: int, seed: int) -> Reactions:
    """`n` changes of each kind, in turn."""
    found, chance, client = Reactions(), random.Random(seed), Client(place)
    for number in range(n):
        _new_item(found, client, place, chance, f"{seed}-{number}")
        _sold_out(found, client, place, chance)
        _basket(found, client, place, chance, f"{seed}-{number}")
    return found


def _new_item(found: Reactions, client: Client, place: Shop, chance: random.Random, name: str) -> None:
    """An item like a film of the catalogue, for a person who has stated an interest in its categories."""
    film = chance.choice([item for item in place.items if item.categories])
    item = msgspec.structs.replace(film, item_id=f"new-{name}", created_at=now_ms(), available=True)
    person = f"person-{name}"
    client.post("/v1/users", {"user_id": person, "interests": list(film.categories)})
    started = time.perf_counter()
    client.post("/v1/items", item)
    _waited(found, "item_to_similar", started, lambda: item.item_id in client.ids(_similar(film.item_id)))
    _waited(found, "item_to_feed", started, lambda: item.item_id in client.ids(_feed(person)))


def _sold_out(found: Reactions, client: Client, place: Shop, chance: random.Random) -> None:
    """The item that is in most of three lists becomes unavailable, and available again."""
    person, about = f"u{chance.randrange(900) + 1}", chance.choice(place.items).item_id
    lists = {path: client.ids(path) for path in (_feed(person), _similar(about), f"/v1/trending?n={SHOWN}")}
    counts = Counter(item for ids in lists.values() for item in ids)
    by_id = {item.item_id: item for item in place.items}
    gone = by_id[max((item for item in counts if item in by_id), key=lambda item: counts[item])]
    shown = [path for path, ids in lists.items() if gone.item_id in ids]
    if len(shown) < 2:
        found.wrong["sold_out: no item is in two lists"] += 1
    started = time.perf_counter()
    client.post("/v1/items", msgspec.structs.replace(gone, available=False))
    _waited(found, "sold_out", started, lambda: all(gone.item_id not in client.ids(path) for path in shown))
    client.post("/v1/items", gone)


def _basket(found: Reactions, client: Client, place: Shop, chance: random.Random, name: str) -> None:
    """Somebody buys two films that nobody bought together before."""
    one, other = (item.item_id for item in chance.sample(list(place.items), 2))
    bought = [
        {
            "event_id": uuid.uuid4().hex, "event_type": "purchase", "user_id": f"buyer-{name}", "item_id": item,
            "timestamp": now_ms(), "session_id": f"session-{name}",
        }
        for item in (one, other)
    ]  # fmt: skip
    started = time.perf_counter()
    client.post("/v1/events", bought)

    def seen() -> bool:
        return other in client.ids(_together(one)) and one in client.ids(_together(other))

    _waited(found, "basket", started, seen)


def _waited(found: Reactions, name: str, started: float, seen: Callable[[], bool]) -> None:
    while not seen():
        waited = time.perf_counter() - started
        if waited > PATIENCE_S:
            found.wrong[f"{name}: not seen within {PATIENCE_S:.0f} s"] += 1
            break
        time.sleep(max(POLL_S, waited / 10))
    found.ms[name].append((time.perf_counter() - started) * 1000)


def _feed(person: str) -> str:
    return f"/v1/users/{person}/feed?n={SHOWN}"


def _similar(item: str) -> str:
    return f"/v1/items/{item}/similar?n={SHOWN}"


def _together(item: str) -> str:
    return f"/v1/items/{item}/bought-together?n=20"
