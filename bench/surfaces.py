"""Every surface's answer compared with the bare parts of its stages, in process.

The pipeline answers as in the server, without HTTP and without hydration. The parts of an answer are recorded once for
each of a few dozen requests, as calls with their arguments, and then made again by themselves, one after the other: the
searches of the index (`knn_query`, an exact product in a small catalogue), the runs of the ranker and the encoder
(`session.run`), gathering item vectors and multiplying them, counting decayed events, and the sums over baskets. What
is not a part: merging, filters, the inputs of the ranker, re-ranking beyond its gathers, reasons, the trace. An answer
without a search, a run and a sum is made of a list of popular items, which is kept for a second: its part is finding
the best of the column anew.

Whole answers and parts take turns request by request, so that the machine's drift falls on both alike.
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
from typing import Any
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench import explained
from bench.filters import FilteredCatalogue, made_world
from bench.machine import Rounds
from bench.report import Report, Target, ratio
from bench.stacks import Say
from feature_repo import views
from operators.contract import Row
from operators.decay import POPULARITY_ORIGIN, Popularity
from operators.time import DAY
from recommend import query as queries
from recommend.index import ItemIndex
from recommend.item_space import ItemSpace
from recommend.onnx_encoder import OnnxEncoder
from recommend.onnx_ranker import OnnxRanker
from recommend.query import Query
from recommend.surface import Surface
from recommend.surfaces import declared
from recommend.together import HALF_LIFE
from schemas.clock import now_ms

REQUESTS_OF_EACH = 40
"""different requests of a surface"""
PARTNERS, CART, LISTED = 50, 3, 200
"""items that each popular item is bought with; items of a cart; items of the caller's list"""
BASKETS = 200.0
WARM_UP = 20
ROUNDS = 4
SECOND = 1000
TARGETS = (Target("p50_ratio", "≤", 3), Target("p99_ratio", "≤", 3), Target(explained.FIGURE, "≤", 3))
REGION = "DE"

Part = Callable[[], Any]
HEAVY = frozenset({"search", "run", "together"})


@dataclass
class SurfaceCase:
    """One surface, the fields of its queries, and the parts of each of them."""

    surface: Surface
    requests: list[dict[str, Any]]
    parts: list[list[Part]] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    parts_ms: list[float] = field(default_factory=list)
    degraded: set[str] = field(default_factory=set)
    """what failed, in words"""
    empty: int = 0


def run(items: int, requests: int, attempts: int, say: Say) -> Report:
    """`requests` of each surface, over a catalogue of so many items."""
    say(f"a catalogue of {items:,} items, and its bundle")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):  # one thread, as in the server
        world = made_world(items, Path(folder))
        clock, chance = now_ms(), random.Random(6)
        buy_together(world, clock, chance)
        cases = [SurfaceCase(surface, asked_of(world, chance)) for surface in declared()]
        gc.collect()
        gc.freeze()  # as the server does
        for case in cases:
            case.parts = [
                parts_of(case.surface, query_of(world, asked, clock, case.surface), world) for asked in case.requests
            ]
            _ask(case, world, chance, clock, WARM_UP)
            case.whole_ms.clear()
            case.parts_ms.clear()
        rounds = Rounds(say, attempts)
        for number in range(ROUNDS):
            clock += DAY // 100
            work = partial(_turns, cases, world, chance, clock, requests)
            for case, (whole, parts) in zip(cases, rounds.measure(f"round {number + 1}", work), strict=True):
                case.whole_ms += whole
                case.parts_ms += parts
        work_of_events = partial(explained.in_turns, world, chance, clock, max(requests // ROUNDS, WARM_UP))
        events = rounds.measure(explained.FIGURE, work_of_events)
    return report(cases, items, rounds, events)


def buy_together(world: FilteredCatalogue, at: int, chance: random.Random) -> None:
    """Rows of co-occurrence for the items that people have met, as of `at`, epoch ms."""
    columns = world.catalogue.columns
    met = popular_rows(world)
    baskets = float(np.log2(BASKETS)) + (at - POPULARITY_ORIGIN) / HALF_LIFE
    for row in met:
        partners = [columns.ids[other] for other in chance.sample(met, min(PARTNERS, len(met)))]
        shares = [1 / (2 + k) for k in range(len(partners))]
        columns.put_features(Row(views.item_cooccurrence.name, (columns.ids[row],), (baskets, partners, shares)))


def popular_rows(world: FilteredCatalogue) -> list[int]:
    """Rows of the items with events."""
    return [int(row) for row in np.flatnonzero(world.catalogue.columns.events_7d > 0)]


def asked_of(world: FilteredCatalogue, chance: random.Random) -> list[dict[str, Any]]:
    """The fields of different queries: each surface reads those that it is about."""
    met = popular_rows(world)
    return [
        {
            "user": chance.choice(world.people),
            "item": chance.choice(met),
            "cart": np.array(chance.sample(met, CART), np.int64),
            "given": np.array(chance.sample(range(world.catalogue.columns.n), LISTED), np.int64),
        }
        for _ in range(REQUESTS_OF_EACH)
    ]


def query_of(world: FilteredCatalogue, asked: Mapping[str, Any], at: int, surface: Surface | None = None) -> Query:
    """The query, as a request with its defaults makes it."""
    paging = surface.paging if surface else None
    about = dict(asked)
    if surface is not None and surface.name == "bought_together":
        about["cart"] = np.array([asked["item"]], np.int64)
    n, depth = (paging.default, paging.depth) if paging else (20, 0)
    if surface is not None and surface.reports:
        n = len(asked["given"])
    return world.pipeline.query(at=at, n=n, depth=depth, region=REGION, **about)


@contextmanager
def recorded() -> Iterator[list[tuple[str, Part]]]:
    """(Kind, call that makes it again) of the parts that run within."""
    found: list[tuple[str, Part]] = []

    def recording(kind: str, of: Any, name: str, again: Callable[..., Any] | None = None) -> Any:
        original = getattr(of, name)

        def call(*args: Any, **others: Any) -> Any:
            made = again or original
            found.append((kind, lambda: made(*args, **others)))
            return original(*args, **others)

        return patch.object(of, name, call)

    gather = ItemSpace.vectors_of

    def product(space: ItemSpace, rows: Any) -> Any:
        vectors = gather(space, rows)
        return vectors @ vectors[:1].T

    with (
        recording("search", ItemIndex, "search"),
        recording("search", ItemSpace, "_exact"),
        recording("run", OnnxRanker, "run"),
        recording("run", OnnxEncoder, "encode"),
        recording("gather", ItemSpace, "vectors_of", product),
        recording("count", Popularity, "count"),
        recording("together", queries, "together"),
    ):
        yield found


def parts_of(surface: Surface, query: Query, world: FilteredCatalogue) -> list[Part]:
    """The parts of the answer to the query."""
    with recorded() as found:
        world.pipeline.recommend(surface, query)
    if not HEAVY & {kind for kind, _ in found}:
        found.append(("best", partial(_best, query)))
    return [part for _, part in found]


def _best(query: Query) -> Any:
    """The best of the available items by popularity in the query's region, in order."""
    columns = query.columns
    values = columns.popular_in(query.region)
    values = np.where(columns.available, columns.popularity if values is None else values, -np.inf)
    k = min(query.length, len(values) - 1)
    best = np.argpartition(-values, k)[:k]
    return best[np.argsort(-values[best], kind="stable")]


def _turns(
    cases: Sequence[SurfaceCase], world: FilteredCatalogue, chance: random.Random, clock: int, requests: int
) -> list[tuple[list[float], list[float]]]:
    """Milliseconds of (answers, parts) of the cases, a few requests of each in turn."""
    found: list[tuple[list[float], list[float]]] = [([], []) for _ in cases]
    for turn in range(max(1, requests // (ROUNDS * WARM_UP))):
        for case, (whole, parts) in zip(cases, found, strict=True):
            more = _ask(case, world, chance, clock + turn * WARM_UP * SECOND, WARM_UP)
            whole += more[0]
            parts += more[1]
    return found


def _ask(
    case: SurfaceCase, world: FilteredCatalogue, chance: random.Random, clock: int, requests: int
) -> tuple[list[float], list[float]]:
    whole, bare = [], []
    for k in range(requests):
        number = chance.randrange(len(case.requests))
        started = time.perf_counter()
        query = query_of(world, case.requests[number], clock + k * SECOND, case.surface)
        answer = world.pipeline.recommend(case.surface, query)
        whole.append((time.perf_counter() - started) * 1000)
        case.empty += not len(answer.candidates)
        case.degraded |= {f"{stage.stage}: {stage.failed}" for stage in answer.trace if stage.failed is not None}
        parts = case.parts[chance.randrange(len(case.parts))]  # others: those of the answer are in the caches now
        started = time.perf_counter()
        for part in parts:
            part()
        bare.append((time.perf_counter() - started) * 1000)
    return whole, bare


def report(
    cases: Sequence[SurfaceCase],
    items: int,
    rounds: Rounds | None = None,
    events: tuple[list[list[float]], set[str]] = ([[], []], set()),
) -> Report:
    """The figures: answers and parts of each surface, and the worst ratios; and what explaining by events costs, of
    what `explained.in_turns` measured."""
    ratios = {
        percentile: {
            case.surface.name: ratio(_fine(case.whole_ms, percentile), _fine(case.parts_ms, percentile))
            for case in cases
        }
        for percentile in (50, 99)
    }
    failures = [f"{case.surface.name}: {each}" for case in cases for each in sorted(case.degraded)]
    failures += [f"{case.surface.name}: {case.empty} answers are empty" for case in cases if case.empty]
    (feeds, with_events), failed = events
    failures += sorted(failed)
    worst = {p: max((each for each in found.values() if each is not None), default=None) for p, found in ratios.items()}
    return Report(
        "surfaces",
        samples={
            name: np.array(values)
            for case in cases
            for name, values in (
                (f"{case.surface.name}_ms", case.whole_ms), (f"{case.surface.name}_parts_ms", case.parts_ms),
            )
        } | {"feed_ms": np.array(feeds), "feed_by_events_ms": np.array(with_events)},
        figures={
            "p50_ratio": worst[50], "p99_ratio": worst[99],
            explained.FIGURE: ratio(_fine(with_events, 50), _fine(feeds, 50)),
        },
        targets=TARGETS,
        notes={"items": items, "p50_ratios": ratios[50], "p99_ratios": ratios[99]},
        failures=failures,
        rounds=rounds,
    )  # fmt: skip


def _fine(values: Sequence[float], percentile: int) -> float | None:
    """A percentile that is not rounded: parts can take hundredths of a millisecond."""
    return float(np.percentile(values, percentile)) if values else None
