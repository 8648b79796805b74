"""The cost of an event and of a feed by how many items the person has met within the deduplication window.

Three groups of people have met 50, 500 and 5,000 items. In each round every group gets the same number of events, one
after the other at a steady rate, so that each is taken and written by itself. The groups take turns within a round, in
an order that rotates, so that the machine's drift falls on all of them alike. Measured of each group and round:

    cost_us  processor time of the user operator's thread, from the scheduler's own account in nanoseconds
    job_us   processor time of the whole Flink process, less what it uses for as long without events
    wall_us  wall time in which the operator's task was busy (Flink's accumulated busy time)
    bytes    values in the write commands of Redis' append-only file (bench/written.py)
"""

from __future__ import annotations

import math
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench import catalogues, clients, jobs, stacks
from bench.errors import Unsound
from bench.histories import DEADLINE_S, PeopleGroup, groups, meet, met
from bench.machine import Rounds
from bench.pace import paced
from bench.quiet import quiet
from bench.report import Report, Target, percentile, ratio
from bench.stacks import Say, own_stack, send
from bench.written import AppendOnlyFile, Written
from freshet.settings import Settings
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Interaction
from schemas.topics import INTERACTIONS, key_of

ITEMS = 20_000
RATE = 200.0
SETTLE_S = 4.5
"""rows of items are written three seconds after an event, and Flink refreshes its metrics once a second"""
IDLE_S = 5.0
THREAD = "user operator"
FEEDS_A_TURN = 40
TARGETS = (Target("cost_ratio", "≤", 1.3), Target("bytes_per_event", "≤", 3000), Target("feed_ratio", "≤", 1.2))


@dataclass(frozen=True)
class EventCost:
    """The events of one group in one round. Times in seconds; `job_s` without the job's idle use."""

    events: int
    cost_s: float
    job_s: float
    wall_s: float
    written: Written
    net_input: int


def run(rounds_: int, events: int, lengths: Sequence[int], attempts: int, say: Say) -> Report:
    """`rounds_` rounds with `events` events of each group."""
    rounds = Rounds(say, attempts)
    found = groups(lengths, rounds_ * events)
    spawn = multiprocessing.get_context("spawn")
    with own_stack(say) as stack, ProcessPoolExecutor(1, spawn, quiet) as client:
        settings = stack.settings
        n_items = max(ITEMS, 2 * max(lengths))
        say(f"a bundle of {n_items:,} items, and people with {', '.join(map(str, lengths))} of them met")
        catalogues.publish(n_items, settings.bundles)
        send(settings, catalogues.catalogue(n_items))
        new = range(n_items // 2, n_items)  # items that nobody has met
        total = meet(settings, found, n_items)
        stack.up(["flink"])
        with jobs.running(settings, "user", ("accepted",)) as job:
            _await_accepted(job, total)
            had = met(settings, found)
            stack.up(["server"])
            file = AppendOnlyFile(settings)
            for turn in range(rounds_):
                order = found[turn % len(found) :] + found[: turn % len(found)]
                costs = rounds.measure(
                    f"events, round {turn + 1}", partial(_round, settings, job, file, order, new, events)
                )
                for group, cost in zip(order, costs, strict=True):
                    _add(group, cost)
            for turn in range(rounds_):
                order = found[turn % len(found) :] + found[: turn % len(found)]
                asked = rounds.measure(f"feeds, round {turn + 1}", partial(_feeds, settings, client, order))
                for group, answers in zip(order, asked, strict=True):
                    group.feeds += answers.ms
                    group.bad += answers.bad
    return report(found, had, n_items, rounds)


def _add(group: PeopleGroup, cost: EventCost) -> None:
    group.events += cost.events
    group.cost_s += cost.cost_s
    group.job_s += cost.job_s
    group.wall_s += cost.wall_s
    group.written += cost.written
    group.net_input += cost.net_input


def report(found: Sequence[PeopleGroup], met: dict[int, float], n_items: int, rounds: Rounds | None) -> Report:
    """Figures by length of history, and the ratio of the longest to the shortest."""
    figures: dict[str, float | None] = {}
    failures = []
    for group in found:
        n, end = max(group.events, 1), f"_{group.length}"
        figures |= {
            f"cost_us{end}": round(group.cost_s / n * 1e6, 1),
            f"job_us{end}": round(group.job_s / n * 1e6, 1),
            f"wall_us{end}": round(group.wall_s / n * 1e6, 1),
            f"bytes_per_event{end}": round(group.written.values / n, 1),
            f"commands_per_event{end}": round(group.written.commands / n, 2),
            f"redis_input_per_event{end}": round(group.net_input / n, 1),
        }
        if group.bad:
            failures.append(f"feeds of people with {group.length} items met failed: {dict(group.bad)}")
    shortest, longest = found[0], found[-1]
    for name in ("cost", "job", "wall"):
        above, below = figures[f"{name}_us_{longest.length}"], figures[f"{name}_us_{shortest.length}"]
        figures["cost_ratio" if name == "cost" else f"{name}_ratio"] = ratio(above, below)
    figures["bytes_per_event"] = figures[f"bytes_per_event_{longest.length}"]
    figures["feed_ratio"] = ratio(percentile(longest.feeds, 50), percentile(shortest.feeds, 50))
    samples = {f"feed_ms_{group.length}": np.array(group.feeds) for group in found}
    notes = {
        "events_of_each_group": shortest.events,
        "people": {str(group.length): len(group.users) for group in found},
        "met": {str(length): round(value, 1) for length, value in met.items()},
        "items": n_items,
        "method": "cost_us: processor of the user operator's thread; job_us: of the whole Flink process, less its idle "
        "use; wall_us: busy time of the operator's task; bytes_per_event: values in the write commands of Redis' "
        "append-only file; redis_input_per_event: growth of Redis' total_net_input_bytes, protocol included",
    }
    return Report("history", samples, figures, targets=TARGETS, notes=notes, failures=failures, rounds=rounds)


def _await_accepted(job: jobs.MeasuredJob, total: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while (accepted := job.counts()["accepted"]) < total:
        if time.monotonic() > deadline:
            raise Unsound(f"the job has accepted {accepted} of {total} events after {DEADLINE_S:.0f} s")
        time.sleep(0.5)
    time.sleep(SETTLE_S)


# -- events ----------------------------------------------------------------------------------------


def _round(
    settings: Settings,
    job: jobs.MeasuredJob,
    file: AppendOnlyFile,
    order: Sequence[PeopleGroup],
    items: range,
    events: int,
) -> list[EventCost]:
    """The same number of events of each group, after a time without any, in which the job's idle use is taken."""
    time.sleep(SETTLE_S)
    before = job.usage()
    time.sleep(IDLE_S)
    idle_cores = job.usage().since(before).total / IDLE_S
    return [_events(settings, job, file, group, items, events, idle_cores) for group in order]


def _events(
    settings: Settings,
    job: jobs.MeasuredJob,
    file: AppendOnlyFile,
    group: PeopleGroup,
    items: range,
    events: int,
    idle_cores: float,
) -> EventCost:
    """Sends `events` clicks on items that were not met before at RATE, one person after the other, and waits until the
    job has taken them."""
    accepted = job.counts()["accepted"]
    file.skip()
    first, busy, net = job.usage(), job.busy_s(), file.net_input()
    began = time.monotonic()
    sender = stacks.producer(settings.kafka)
    for number, _ in paced(RATE, math.inf):
        if number == events:
            break
        user = group.users[number % len(group.users)]
        event = Interaction(
            f"n{group.chance.getrandbits(60):x}",
            "click",
            user,
            now_ms(),
            f"i{group.chance.randrange(items.start, items.stop)}",
        )
        sender.produce(INTERACTIONS, key=key_of(event), value=codec.encode(event))
        sender.poll(0)
    sender.flush(stacks.FLUSH_S)
    deadline = time.monotonic() + DEADLINE_S
    while (taken := job.counts()["accepted"] - accepted) < events:
        if time.monotonic() > deadline:
            raise Unsound(f"the job has taken {taken} of {events} events")
        time.sleep(0.2)
    time.sleep(SETTLE_S)
    last, seconds = job.usage(), time.monotonic() - began
    used = last.since(first)
    cost_s = sum(spent for name, spent in used.threads.items() if name.startswith(THREAD))
    if not cost_s:
        raise Unsound(f"Flink has no thread called {THREAD!r}: {sorted(last.threads)}")
    job_s = max(0.0, used.total - idle_cores * seconds)
    return EventCost(events, cost_s, job_s, job.busy_s() - busy, file.read(), file.net_input() - net)


# -- feeds -----------------------------------------------------------------------------------------


def _feeds(settings: Settings, client: Executor, order: Sequence[PeopleGroup]) -> list[clients.FeedAnswers]:
    """Feeds one at a time, in turns of FEEDS_A_TURN of each group."""
    users = [group.users for group in order]
    return client.submit(ask, settings.host, settings.http_port, users, 5, FEEDS_A_TURN).result()


def ask(host: str, port: int, users: Sequence[Sequence[str]], turns: int, n: int) -> list[clients.FeedAnswers]:
    """`turns` times `n` feeds of each of the groups of users, which take turns. Runs in a separate process."""

    async def work() -> list[clients.FeedAnswers]:
        connection = clients.HttpConnection(host, port)
        found = [clients.FeedAnswers([], Counter(), Counter()) for _ in users]
        chance = random.Random(7)
        for turn in range(turns + 1):
            for group, asked in zip(users, found, strict=True):
                for _ in range(n):
                    reply = await connection.ask("GET", clients.feed_path(chance.choice(group)))
                    if turn:  # the first one warms up
                        clients.take(asked, reply)
        await connection.close()
        return found

    return clients.run(work)
