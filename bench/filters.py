"""Feeds with filters of several strictness, compared with feeds without one, in process.

The pipeline answers as in the server, without HTTP and without hydration, which a filter does not change. Requests of
all cases take turns one by one, each for a person at random and a later second, so that the machine's drift falls on
all alike and filters that read the time or the person are evaluated anew. Recall is that of the search for the person's
vector, compared with the product with all items that pass.
"""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench import catalogues
from bench.machine import Rounds
from bench.report import Report, Target, ratio, summary
from bench.stacks import Say
from operators.time import DAY
from recommend.among import among
from recommend.catalogue import Catalogue
from recommend.pipeline import Pipeline
from recommend.popular import Popular
from recommend.query import Query
from recommend.retrievers import NEAREST
from recommend.surfaces import home
from schemas import bundle
from schemas.clock import now_ms
from schemas.events import Item

C = TypeVar("C")
SHARES = (1.0, 0.1, 0.01, 0.001, 0.0001)
SOLD_OUT = 0.9
PEOPLE = 100
STRICT = 0.5
"""share of items below which a case counts for the recall of filtered searches"""
RECALLED = 50
"""people for whom recall is measured, in each case"""
WARM_UP = 20
ROUNDS = 4
SECOND = 1000
PERSONAL = (
    'item.chance < user.luck && item.created_at > now - duration("14400h") && !("c1" in item.categories) '
    "&& item.price < 99"
)
"""reads the person and the time, so that no mask is found computed already; about 1 % pass"""
TARGETS = (Target("p99_ratio", "≤", 3), Target("recall", "≥", 0.95))


@dataclass
class Case:
    """One kind of request; `text` is its filter."""

    name: str
    text: str | None = None
    sold_out: bool = False
    ms: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    allowed: int = 0
    short: int = 0
    """answers of fewer items than there were to show"""
    degraded: int = 0


@dataclass
class FilteredCatalogue:
    """A catalogue, its pipeline, and the rows of people."""

    catalogue: Catalogue
    pipeline: Pipeline
    people: list[dict[str, Any]]
    in_stock: Any

    @contextmanager
    def stock_of(self, case: Case) -> Iterator[None]:
        """Within it, `1 - SOLD_OUT` of the items are available where the case has the others sold out."""
        available = self.catalogue.columns.available
        if case.sold_out:
            available &= self.in_stock
        try:
            yield
        finally:
            available[:] = True


def run(items: int, requests: int, attempts: int, say: Say) -> Report:
    """`requests` of each case, over a catalogue of so many items."""
    say(f"a catalogue of {items:,} items, and its bundle")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):  # one thread, as in the server
        world = made_world(items, Path(folder))
        cases = [
            Case("unfiltered"),
            *(Case(f"pass_{_percent(share)}", f"item.chance < {share}") for share in SHARES),
            Case("personal", PERSONAL),
            Case("sold_out", sold_out=True),
            Case("sold_out_pass_1", "item.chance < 0.01", sold_out=True),
        ]
        chance, clock = random.Random(6), now_ms()
        gc.collect()
        gc.freeze()  # as the server does
        for case in cases:
            _ask(case, world, chance, clock, WARM_UP)
            case.ms.clear()
        rounds = Rounds(say, attempts)

        def ask(case: Case, at: int) -> list[float]:
            return _ask(case, world, chance, at, WARM_UP)

        for number in range(ROUNDS):
            clock += DAY // 100
            turns = rounds.measure(f"round {number + 1}", partial(in_turns, cases, requests, clock, ask))
            for case, ms in zip(cases, turns, strict=True):
                case.ms += ms
        for case in cases:
            _recall(case, world, clock)
    return report(cases, items, rounds)


def _percent(share: float) -> str:
    return f"{share * 100:g}".replace(".", "_")


def made_world(
    n: int, folder: Path, attributes: Mapping[str, Callable[[int], str]] = catalogues.NO_OTHERS
) -> FilteredCatalogue:
    """A catalogue of n items with these attributes (see `catalogues.attributed`), a model of them, and people."""
    catalogues.publish(n, folder)
    found = bundle.current(folder)
    assert found is not None
    items = catalogues.attributed(n, attributes)
    catalogue = Catalogue()
    catalogue.serve(catalogue.load(found))
    for item in items:
        catalogue.put_item(item)
    people = _people(found, items, catalogue)
    in_stock = np.random.default_rng(9).random(n) >= SOLD_OUT
    lists = Popular(catalogue.columns, time.monotonic)
    return FilteredCatalogue(catalogue, Pipeline(catalogue.columns, catalogue.model, lists), people, in_stock)


def luck(k: int) -> dict[str, Any]:
    """Attributes of the person of a number, by which filters and segments choose."""
    return {"luck": 0.0105 + k / 1e6}


def _people(found: bundle.Bundle, items: Sequence[Item], catalogue: Catalogue) -> list[dict[str, Any]]:
    """Rows of people after a history, and the features of the items that they met, by the replay driver."""
    now, users = now_ms(), [f"u{k}" for k in range(PEOPLE)]
    replay = catalogues.replayed(found, items, users, now, ("DE",))
    for (item_id, part), state in replay.items.items():
        catalogue.columns.put_features(replay.item_operator.row(item_id, part, state, now))
    attributes = (msgspec.msgpack.encode(luck(k)) for k in range(PEOPLE))
    return [
        {**replay.user_row(who, now), "profile_attributes": packed}
        for who, packed in zip(users, attributes, strict=True)
    ]


def _query(case: Case, world: FilteredCatalogue, person: dict[str, Any], clock: int) -> Query:
    chosen = world.pipeline.filters.compile(case.text) if case.text else None
    return world.pipeline.query(at=clock, user=person, region="DE", filter=chosen)


def in_turns(cases: Sequence[C], requests: int, clock: int, ask: Callable[[C, int], list[float]]) -> list[list[float]]:
    """Milliseconds of the cases, WARM_UP requests of each in turn; `ask` gets the case and the time of the first."""
    found: list[list[float]] = [[] for _ in cases]
    for turn in range(max(1, requests // (ROUNDS * WARM_UP))):
        for case, ms in zip(cases, found, strict=True):
            ms += ask(case, clock + turn * WARM_UP * SECOND)
    return found


def _ask(case: Case, world: FilteredCatalogue, chance: random.Random, clock: int, requests: int) -> list[float]:
    samples = []
    with world.stock_of(case):
        # The lists of popular items are a second old at most: here they were made with another stock.
        world.pipeline.popular._lists.clear()
        world.pipeline.popular.everywhere()
        world.pipeline.popular.within("DE")
        for k in range(requests):
            person = chance.choice(world.people)
            started = time.perf_counter()
            query = _query(case, world, person, clock + k * SECOND)
            answer = world.pipeline.recommend(home, query)
            samples.append((time.perf_counter() - started) * 1000)
            case.short += len(answer.item_ids) < min(query.n, _unmet(query))
            case.degraded += bool(answer.degraded)
    return samples


def _unmet(query: Query) -> int:
    """How many items may be shown that the person has neither met nor turned down."""
    rows = np.flatnonzero(query.allowed)
    met = among(query.columns.hashes.take(rows), query.seen) | among(rows, query.disliked)
    return len(rows) - int(np.count_nonzero(met))


def _recall(case: Case, world: FilteredCatalogue, clock: int) -> None:
    """Recall of the nearest, for some people."""
    space = world.catalogue.model.user_space if world.catalogue.model else None
    assert space is not None
    with world.stock_of(case):
        for person in world.people[:RECALLED]:
            query = _query(case, world, person, clock)
            query.surface = home.name
            vector = np.asarray(person["vector"], np.float32)
            found = query.nearest(vector[None], NEAREST)[0]
            rows = np.flatnonzero(query.allowed)
            scores = space.vectors_of(rows) @ vector
            best = rows[np.argsort(-scores, kind="stable")[: len(found)]]
            case.recalls.append(len(np.intersect1d(found, best)) / max(len(best), 1) if len(rows) else 1.0)
            case.allowed = len(rows)


def report(cases: Sequence[Case], items: int, rounds: Rounds | None = None) -> Report:
    """The figures: latency of each case, the worst ratio to the unfiltered one, the worst recall."""
    plain = summary(cases[0].ms)
    ratios = {case.name: ratio(summary(case.ms)["p99"], plain["p99"]) for case in cases[1:]}
    # Where nearly all items pass, recall is that of the graph alone.
    strict = [case for case in cases if case.allowed < STRICT * items]
    recalls = {case.name: round(float(np.mean(case.recalls)), 4) for case in cases}
    failures = [f"{case.name}: {case.short} answers are short" for case in cases if case.short]
    failures += [f"{case.name}: {case.degraded} answers fell back" for case in cases if case.degraded]
    return Report(
        "filters",
        samples={f"{case.name}_ms": np.array(case.ms) for case in cases},
        figures={
            "p99_ratio": max((each for each in ratios.values() if each is not None), default=None),
            "recall": min((recalls[case.name] for case in strict), default=None),
            "recall_of_the_graph": recalls[cases[0].name],
        },
        targets=TARGETS,
        notes={
            "items": items,
            "p99_ratios": ratios,
            "recalls": recalls,
            "allowed": {case.name: case.allowed for case in cases},
        },
        failures=failures,
        rounds=rounds,
    )
