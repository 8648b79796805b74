"""Feed latency, rate and memory over catalogues of several sizes, and the sum of the bare parts of a feed.

Each size has a stack of its own, all of them at the same time. One core is the servers', the other one is shared by the
client, Kafka and Redis. The parts are a Feast read of the person, the same `knn_query`s as the retrievers' and
`session.run` over the inputs of as many candidates as a feed ranks, timed one after the other on the servers' core.
Feeds and parts of all sizes take turns of a few seconds, so that the machine's drift falls on all of them alike.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import psutil

from bench import catalogues, clients, parts, servers
from bench.errors import Unsound
from bench.machine import Rounds
from bench.quiet import quiet
from bench.report import Report, Samples, Target, percentile, ratio
from bench.stacks import Say, own_stack, send
from freshet.local.stack import Stack

SERVER_CORE, OTHER_CORE = 0, 1
TURNS = 5
CONNECTIONS = 8
WARM_UP_S = 5.0
FELL_BACK = 0.01
"""greatest share of feeds with a stage that fell back: a feed with less in it takes less time"""
USUAL = 100_000
TARGETS = (
    Target("feed_ms.p50", "≤", 8),
    Target("feed_ms.p99", "≤", 20),
    Target("feed_to_parts", "≤", 1.6),
    Target("feeds_per_s", "≥", 120),
    Target("size_ratio", "≤", 1.15),
    Target("memory_ratio", "≤", 1.5),
    Target("processes_ratio", "≥", 1.7),
)


@dataclass
class ServedCatalogue:
    """A stack with a catalogue of `items`, the people in it, and its measurements."""

    items: int
    stack: Stack
    users: list[str]
    index_s: float
    bare: Executor
    feeds: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    eight: list[float] = field(default_factory=list)
    eight_s: float = 0.0
    asked: int = 0
    fell_back: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    ranked: float = 0.0
    arrays: int = 0
    rss: int = 0

    @property
    def source(self) -> parts.PartsSource:
        settings = self.stack.settings
        return parts.PartsSource(settings.bundles, settings.feature_store, settings.kafka, tuple(self.users))

    def take(self, found: clients.FeedAnswers) -> list[float]:
        self.asked += len(found.ms) + found.bad.total()
        self.fell_back += found.fell_back
        self.bad += found.bad
        return found.ms


def run(
    sizes: Sequence[int], n_users: int, seconds: float, processes_: Sequence[int], attempts: int, say: Say
) -> Report:
    """Measures for `seconds` each: one request at a time, eight at a time, the parts, and each number of server
    processes."""
    if (psutil.cpu_count() or 1) <= max(SERVER_CORE, OTHER_CORE):
        raise Unsound("two cores are needed: one for the server, one for the client")
    rounds = Rounds(say, attempts)
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as open_until_the_end:
        client = open_until_the_end.enter_context(ProcessPoolExecutor(1, spawn, quiet))
        served = []
        for n in sorted(set(sizes)):
            bare = open_until_the_end.enter_context(ProcessPoolExecutor(1, spawn, quiet))
            stack = open_until_the_end.enter_context(own_stack(say, start_timeout=servers.START_S))
            served.append(_prepare(n, stack, n_users, bare, say))
        for each in served:
            _warm(each, client, seconds)
        turn_s = seconds / TURNS
        for turn in range(TURNS):
            name = f"feeds and parts, turn {turn + 1}"
            for each, (feeds, sums) in zip(served, rounds.measure(name, partial(_turn, served, client, turn_s)),
                                           strict=True):  # fmt: skip
                each.feeds += each.take(feeds)
                each.sums += sums
        for each in served:
            name = f"{CONNECTIONS} at a time, {each.items:,} items"
            found = rounds.measure(name, partial(_ask, each, client, CONNECTIONS, seconds, OTHER_CORE))
            each.eight, each.eight_s = each.take(found), seconds
            each.rss = servers.rss(each.stack.settings)
        usual = min(served, key=lambda each: abs(each.items - USUAL))
        rates = _processes(usual, client, processes_, seconds, rounds, say)
    return _report(served, usual, rates, n_users, rounds)


def _prepare(n: int, stack: Stack, n_users: int, bare: Executor, say: Say) -> ServedCatalogue:
    settings = stack.settings
    say(f"a bundle of {n:,} items")
    index_s = catalogues.publish(n, settings.bundles)
    say(f"its index took {index_s:.0f} s to build; catalogue, item features and people")
    items = list(catalogues.catalogue(n))
    send(settings, items)
    users = catalogues.people(settings, items, n_users)
    del items
    stack.up(["server"])
    servers.pin(settings, ("kafka", "redis"), [OTHER_CORE])
    servers.pin(settings, ("server",), [SERVER_CORE])
    return ServedCatalogue(n, stack, users, index_s, bare)


def _warm(each: ServedCatalogue, client: Executor, seconds: float) -> None:
    _ask(each, client, 1, min(WARM_UP_S, seconds), OTHER_CORE)
    each.bare.submit(parts.measure, SERVER_CORE, each.source, 0.0).result()
    each.ranked, each.arrays = each.bare.submit(parts.sizes, each.source).result()


def _turn(
    served: list[ServedCatalogue], client: Executor, seconds: float
) -> list[tuple[clients.FeedAnswers, list[float]]]:
    """One turn of feeds and of parts at each size."""
    found = []
    for each in served:
        feeds = _ask(each, client, 1, seconds, OTHER_CORE)
        found.append((feeds, each.bare.submit(parts.measure, SERVER_CORE, each.source, seconds).result()))
    return found


def _ask(
    each: ServedCatalogue,
    client: Executor,
    connections: int,
    seconds: float,
    core: int | None,
    also: Sequence[int] = (),
) -> clients.FeedAnswers:
    settings = each.stack.settings
    asked = settings.host, [settings.http_port, *also], each.users
    return client.submit(clients.feeds, *asked, connections, seconds, core).result()


# -- several server processes ----------------------------------------------------------------------


def _processes(
    each: ServedCatalogue, client: Executor, counts: Sequence[int], seconds: float, rounds: Rounds, say: Say
) -> dict[int, float]:
    """Feeds a second by number of server processes, none of them pinned to a core; the numbers take turns."""
    if len(counts) < 2:
        return {}
    every = list(range(psutil.cpu_count() or 1))
    settings = each.stack.settings
    servers.pin(settings, ("kafka", "redis", "server"), every)
    served: Counter[int] = Counter()
    with servers.more_servers(each.stack, max(counts) - 1, say) as others:
        for turn in range(2):
            for count in counts if turn % 2 == 0 else tuple(reversed(counts)):
                also = servers.serving(each.stack, count, others)
                connections = CONNECTIONS * count
                name = f"{count} server processes, turn {turn + 1}"
                found = rounds.measure(name, partial(_ask, each, client, connections, seconds / 2, None, also))
                served[count] += len(each.take(found))
    return {count: round(served[count] / seconds, 1) for count in counts}


# -- the report ------------------------------------------------------------------------------------


def _report(
    served: list[ServedCatalogue], usual: ServedCatalogue, rates: dict[int, float], n_users: int, rounds: Rounds
) -> Report:
    samples: dict[str, Samples] = {}
    figures: dict[str, float | None] = {}
    failures = []
    for each in (usual, *(other for other in served if other is not usual)):
        end = "" if each is usual else f"_{each.items}"
        samples |= {
            f"feed_ms{end}": np.array(each.feeds),
            f"feed_at_{CONNECTIONS}_ms{end}": np.array(each.eight),
            f"parts_ms{end}": np.array(each.sums),
        }
        figures |= {
            f"feeds_per_s{end}": round(len(each.eight) / each.eight_s, 1) if each.eight_s else None,
            f"feed_to_parts{end}": ratio(percentile(each.feeds, 50), percentile(each.sums, 50)),
            f"rss_mb{end}": round(each.rss / 2**20, 1),
            f"arrays_mb{end}": round(each.arrays / 2**20, 1),
            f"rss_to_arrays{end}": ratio(each.rss, each.arrays),
            f"index_built_s{end}": round(each.index_s, 1),
        }
        failures += faults(each)
    figures["memory_ratio"] = ratio(served[-1].rss, served[-1].arrays)
    if len(served) > 1:
        figures["size_ratio"] = ratio(percentile(served[-1].feeds, 50), percentile(served[0].feeds, 50))
    for count, rate in rates.items():
        figures[f"feeds_per_s_{count}_processes"] = rate
    if rates:
        figures["processes_ratio"] = ratio(rates[max(rates)], rates[min(rates)])
    targets = tuple(target for target in TARGETS if target.name.partition(".")[0] in samples | figures)
    notes = {
        "items": usual.items,
        "sizes": [each.items for each in served],
        "candidates": usual.ranked,
        "people": n_users,
        "method": "memory_ratio: resident memory of the server at the largest size / its columns, vectors and index "
        "file; size_ratio: p50 at the largest / the smallest size; processes: "
        + ("one port" if servers.has_setting(usual.stack.settings) else "a port each")
        + ", no core pinned, client on the same cores",
    }
    return Report("feed", samples, figures, targets=targets, notes=notes, failures=failures, rounds=rounds)


def faults(each: ServedCatalogue) -> list[str]:
    """Reasons for which the samples are not of whole feeds."""
    found = []
    of = f"with {each.items:,} items"
    if each.bad:
        found.append(f"{of}, {each.bad.total()} of {each.asked} answers are not a whole feed: {dict(each.bad)}")
    if each.fell_back.total() > FELL_BACK * each.asked:
        found.append(f"{of}, stages fell back in {each.asked} feeds: {dict(each.fell_back)}")
    if each.ranked < parts.CANDIDATES and each.items >= 10 * parts.CANDIDATES:
        found.append(f"{of}, feeds rank {each.ranked:.0f} candidates instead of {parts.CANDIDATES}")
    return found
