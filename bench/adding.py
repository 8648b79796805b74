"""Requests and recall while new items are added: HTTP feeds and similar lists, and searches of the server's own index.

Turns without and with additions follow one another. In both, feeds and similar lists are asked for at ASKED a second;
in the latter new items are sent to Kafka's topic `items` at the rate asked for, and WATCHED further ones a second, each
of which is asked for until the server has it. A thread of the server compares searches with the exact product all the
time (bench/searching_server.py). Then the processor time of an item, from its message to the index, is compared with
that of a bare index taking the item's vector. Client, Kafka, Redis and server share all cores.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import msgspec
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from bench import additions, catalogues, servers
from bench.additions import Added, AddingAnswers
from bench.errors import Unsound
from bench.machine import Rounds
from bench.quiet import quiet
from bench.report import Report, Target, percentile, ratio
from bench.searching_server import ComparedSearches
from bench.stacks import Say, own_stack, send
from freshet.local import processes
from freshet.local.server import Server
from freshet.local.stack import Stack
from freshet.settings import Settings
from training import train

ASKED, WATCHED = 40.0, 4.0
TURNS = 3
WARM_UP_S = 5.0
PATIENCE_S = 120.0
POLL_S = 0.05
TAKEN, TAKING_TURNS = 1000, 3
"""items whose processor time is measured, in each turn"""
SOON = 0.9
"""least share of the rate that has to be sent"""
LATE_MS = 1000.0
TARGETS = (
    Target("recall", "≥", 0.95),
    Target("recall_added", "≥", 0.95),
    Target("answered_ms.p99", "≤", LATE_MS),
)


@dataclass
class Turn:
    """One turn of `seconds`, in which items were added or not."""

    answers: AddingAnswers
    added: Added
    compared: list[ComparedSearches]
    taken: int = 0
    """items that the server has taken"""
    took_s: float = 0.0
    """from the first message until the server had taken all"""


@dataclass
class ServedItems:
    """The server under measurement, and its comparisons."""

    settings: Settings
    compared: Path
    users: list[str]
    items: int
    rate: float
    pool: Executor
    sent: int = 0
    """new items so far, whose ids are numbered"""


@dataclass
class MeasuredAdditions:
    """All turns, by whether items were added."""

    without: list[Turn] = field(default_factory=list)
    while_added: list[Turn] = field(default_factory=list)
    taking_us: list[float] = field(default_factory=list)
    bare_us: list[float] = field(default_factory=list)


def run(items: int, n_users: int, rate: float, seconds: float, attempts: int, say: Say) -> Report:
    """Adds `rate` items a second to a catalogue of `items`, for `seconds` in all."""
    rounds, spawn, found = Rounds(say, attempts), multiprocessing.get_context("spawn"), MeasuredAdditions()
    with own_stack(say, start_timeout=servers.START_S) as stack, ProcessPoolExecutor(3, spawn, quiet) as pool:
        settings = stack.settings
        say(f"a catalogue of {items:,} items, its bundle and people")
        # With the construction of training: recall depends on it, and so does what adding an item costs.
        catalogues.publish(items, settings.bundles, train.EF_CONSTRUCTION)
        every = list(catalogues.catalogue(items))
        send(settings, every)
        users = catalogues.people(settings, every, n_users)
        del every
        with searching_server(stack, say) as compared:
            served = ServedItems(settings, compared, users, items, rate, pool)
            _turn(served, WARM_UP_S, adds=True)
            say(f"{rate:g} items a second for {seconds:g} s, in turn with none")
            for turn in range(TURNS):
                for adds, turns in ((False, found.without), (True, found.while_added)):
                    name = f"turn {turn + 1} with{'' if adds else 'out'} additions"
                    turns.append(rounds.measure(name, partial(_turn, served, seconds / TURNS, adds)))
        say("the processor time of an item")
        timed = pool.submit(additions.taking, settings.bundles, TAKEN, TAKING_TURNS)
        found.taking_us, found.bare_us = timed.result()
    return report(found, items, rate, rounds)


@contextmanager
def searching_server(stack: Stack, say: Say) -> Iterator[Path]:
    """The server of bench/searching_server.py on the stack; the file of its comparisons."""
    settings = stack.settings
    path = settings.root / "compared.jsonl"
    path.touch()
    launch = Server().prepare(settings, say)
    argv = [sys.executable, "-m", "bench.searching_server", str(path)]
    log = settings.logs / "searching-server.log"
    record = processes.spawn("searching-server", argv, {**processes.base_env(), **launch.env}, log, settings.run)
    try:
        servers.await_ready(settings, record)
        yield path
    finally:
        processes.end(record, Server.grace)
        processes.forget(settings.run, record.name)


def _turn(served: ServedItems, seconds: float, adds: bool) -> Turn:
    settings, began = served.settings, time.time()
    before = _items(settings)
    place = settings.host, settings.http_port
    asked = served.pool.submit(additions.ask, *place, served.users, served.items, ASKED, seconds)
    found = Turn(AddingAnswers(), Added(), [])
    if adds:
        first, many = served.sent, int(served.rate * seconds) + 1
        served.sent += many + int(WATCHED * seconds) + 1
        load = served.pool.submit(additions.add, settings.kafka, first, served.rate, seconds)
        watched = served.pool.submit(additions.watch, settings.kafka, *place, first + many, WATCHED, seconds)
        found.added = load.result()
        found.added.add(watched.result())
        deadline = time.monotonic() + PATIENCE_S
        while _items(settings) < before + found.added.sent and time.monotonic() < deadline:
            time.sleep(POLL_S)
        found.took_s, found.taken = time.time() - found.added.began, _items(settings) - before
    found.answers = asked.result()
    lines = served.compared.read_bytes().splitlines()
    compared = [msgspec.json.decode(line, type=ComparedSearches) for line in lines]
    found.compared = [each for each in compared if began <= each.at <= began + seconds]
    return found


def _items(settings: Settings) -> int:
    """How many items the server has."""
    answer = httpx.get(f"{settings.http_url}/metrics", timeout=PATIENCE_S, trust_env=False)
    return items_of(answer.text)


def items_of(metrics: str) -> int:
    """The number of items in the columns, from the text of `/metrics`; of several processes, of the one that has the
    fewest. Raises Unsound where it is not there."""
    samples = (sample for family in text_string_to_metric_families(metrics) for sample in family.samples)
    found = [int(sample.value) for sample in samples if sample.name == "freshet_items"]
    if not found:
        raise Unsound("the server's metrics have no freshet_items")
    return min(found)


# -- the report ------------------------------------------------------------------------------------


def report(found: MeasuredAdditions, items: int, rate: float, rounds: Rounds | None = None) -> Report:
    """The figures; a request that failed, an item that was lost and a search that raised make them unsound."""
    samples = {
        f"{name}_ms{end}": np.array([ms for turn in turns for ms in turn.answers.ms[name]])
        for name in ("feed", "similar")
        for end, turns in (("", found.while_added), ("_without", found.without))
    }
    samples["answered_ms"] = np.array([ms for turn in found.while_added for ms in turn.added.answered_ms])
    answers, added = AddingAnswers(), Added()
    for turn in (*found.without, *found.while_added):
        answers.add(turn.answers)
        added.add(turn.added)
    during = [each for turn in found.while_added for each in turn.compared]
    bundled, new = ([recall for each in during for recall in getattr(each, kind)] for kind in ("bundled", "added"))
    least = [float(np.mean(values)) for each in during if (values := each.bundled + each.added)]
    quiet_ = [recall for turn in found.without for each in turn.compared for recall in each.bundled]
    figures = {
        "failed_requests": float(answers.failed.total()),
        "degraded_answers": float(answers.degraded.total()),
        "recall": _mean(bundled + new),
        "recall_bundled": _mean(bundled),
        "recall_added": _mean(new),
        "recall_newest": _mean([recall for each in during for recall in each.newest]),
        "recall_least": round(min(least), 4) if least else None,
        "recall_without": _mean(quiet_),
        "taken_per_s": _rate(found.while_added),
        "taking_us": _mean(found.taking_us, 1),
        "bare_taking_us": _mean(found.bare_us, 1),
        "taking_ratio": ratio(_mean(found.taking_us, 1), _mean(found.bare_us, 1)),
    }
    for name in ("feed", "similar"):
        for q in (50, 99):
            with_, without = samples[f"{name}_ms"], samples[f"{name}_ms_without"]
            figures[f"{name}_p{q}_ratio"] = ratio(percentile(with_, q), percentile(without, q))
    return Report(
        "adding",
        samples,
        figures,
        targets=TARGETS,
        notes={
            "items": items,
            "items_at_the_end": max((each.items for each in during), default=items),
            "added": added.sent,
            "rate": rate,
            "searches_compared": len(bundled) + len(new),
            "degraded": dict(answers.degraded),
        },
        failures=_failures(found, answers, added, during, rate),
        rounds=rounds,
    )


def _failures(
    found: MeasuredAdditions, answers: AddingAnswers, added: Added, during: Sequence[ComparedSearches], rate: float
) -> list[str]:
    failures = [f"{kind}: {count} requests" for kind, count in answers.failed.items()]
    errors = [each.error for turn in (*found.without, *found.while_added) for each in turn.compared if each.error]
    if errors:
        failures.append(f"{len(errors)} searches failed, such as {errors[0]}")
    if added.undelivered:
        failures.append(f"{added.undelivered} items were not acknowledged by Kafka")
    if added.unseen:
        failures.append(f"{added.unseen} items had no answer within {additions.PATIENCE_S:.0f} s")
    lost = sum(turn.added.sent - turn.taken for turn in found.while_added)
    if lost:
        failures.append(f"{lost} of {added.sent} items were not taken within {PATIENCE_S:.0f} s")
    if any(turn.added.per_s < SOON * rate for turn in found.while_added):
        failures.append(f"less than {SOON:.0%} of {rate:g} items a second were sent")
    for kind, turns in (("with", found.while_added), ("without", found.without)):
        for number, turn in enumerate(turns, 1):
            if not any(each.bundled for each in turn.compared):
                failures.append(f"no search was compared in turn {number} {kind} additions")
    if not all(any(each.added for each in turn.compared) for turn in found.while_added):
        failures.append("no search for an added item was compared in a turn with additions")
    return failures


def _mean(values: Sequence[float], digits: int = 4) -> float | None:
    return round(float(np.mean(values)), digits) if len(values) else None


def _rate(turns: Sequence[Turn]) -> float | None:
    took = sum(turn.took_s for turn in turns)
    return round(sum(turn.taken for turn in turns) / took, 1) if took else None
