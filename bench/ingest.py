"""Writing under load: `POST /v1/events` with and without feeds at the same time, and many connections at once.

    idle         one client posts at a steady rate
    with feeds   the same, while other clients ask for feeds at a steady rate
    connections  as many clients as `connections` post, each again as soon as it is answered
    overload     as many clients ask for feeds, each again as soon as it is answered

An answer counts from when its request was due, so that a server that falls behind cannot hide it. Clients that get a
503 wait for the time in Retry-After, at most RETRY_AT_MOST_S.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bench import clients, probes
from bench.clients import HttpConnection, Reply
from bench.machine import Rounds
from bench.quiet import quiet
from bench.report import Report, Target, percentile, ratio
from bench.stacks import Say, load_movielens, own_stack
from freshet.settings import Settings
from training.datasets import Dataset

POSTS_A_SECOND = 20.0
FEEDS_A_SECOND = 75.0
TURNS = 3
RETRY_AT_MOST_S = 2.0
DONE = 202, 200
TARGETS = (Target("post_ratio", "≤", 3), Target("connection_ratio", "≤", 3))


@dataclass
class Answers:
    """Milliseconds of successful answers, and the number of all answers by status."""

    ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    with_retry_after: int = 0
    by_connection: list[list[float]] = field(default_factory=list)

    def take(self, reply: Reply, ms: float) -> None:
        self.statuses[reply.status] += 1
        self.with_retry_after += reply.status == 503 and reply.retry_after is not None
        if reply.status in DONE:
            self.ms.append(ms)

    def add(self, other: Answers) -> None:
        self.ms += other.ms
        self.statuses += other.statuses
        self.with_retry_after += other.with_retry_after
        self.by_connection += other.by_connection

    @property
    def failed(self) -> Counter[int]:
        """Answers that are neither successful nor a 503 with Retry-After."""
        wrong = Counter({status: n for status, n in self.statuses.items() if status not in (*DONE, 503)})
        return wrong + Counter({503: self.statuses[503] - self.with_retry_after})


def spread(by_connection: Sequence[Sequence[float]]) -> tuple[float | None, float | None]:
    """(mean answer of the slowest connection / that of the median one, longest answer of all / median of all)."""
    means = [float(np.mean(each)) for each in by_connection if each]
    every = [ms for each in by_connection for ms in each]
    if not every:
        return None, None
    return ratio(max(means), float(np.median(means))), ratio(max(every), float(np.median(every)))


def run(seconds: float, connections: int, attempts: int, say: Say) -> Report:
    """Each phase takes `seconds` in all, on the whole stack with MovieLens."""
    rounds = Rounds(say, attempts)
    spawn = multiprocessing.get_context("spawn")
    found = {name: Answers() for name in ("idle", "with_feeds", "feeds", "connections", "overload")}
    with own_stack(say) as stack, ProcessPoolExecutor(2, spawn, quiet) as pool:
        settings = stack.settings
        data = load_movielens(settings, say)
        stack.up()
        say("posts without and with feeds, in turn")
        _together(settings, data, pool, min(5.0, seconds))
        for turn in range(TURNS):
            work = partial(_turn, settings, data, pool, seconds / TURNS)
            for name, answers in rounds.measure(f"posts, turn {turn + 1}", work).items():
                found[name].add(answers)
        for name, call in (("connections", post), ("overload", get)):
            say(f"{name}: {connections} at a time")
            asked = settings.host, settings.http_port, [u.user_id for u in data.users], [i.item_id for i in data.items]
            work_ = partial(_submit, pool, many, *asked, call, connections, seconds)
            found[name].add(rounds.measure(name, work_))
    return report(found, connections, rounds)


def _submit(pool: Executor, call: Callable[..., Answers], *given: object) -> Answers:
    return pool.submit(call, *given).result()


def _turn(settings: Settings, data: Dataset, pool: Executor, seconds: float) -> dict[str, Answers]:
    idle = pool.submit(steady, *_who(settings, data), post, POSTS_A_SECOND, seconds).result()
    feeds, posts = _together(settings, data, pool, seconds)
    return {"idle": idle, "with_feeds": posts, "feeds": feeds}


def _together(settings: Settings, data: Dataset, pool: Executor, seconds: float) -> tuple[Answers, Answers]:
    feeds = pool.submit(steady, *_who(settings, data), get, FEEDS_A_SECOND, seconds)
    posts = pool.submit(steady, *_who(settings, data), post, POSTS_A_SECOND, seconds)
    return feeds.result(), posts.result()


def _who(settings: Settings, data: Dataset) -> tuple[str, int, list[str], list[str]]:
    return settings.host, settings.http_port, [u.user_id for u in data.users], [i.item_id for i in data.items]


def report(found: dict[str, Answers], connections: int, rounds: Rounds | None) -> Report:
    """Ratios, and the answers to the load beyond the capacity."""
    samples = {
        "post_ms": np.array(found["idle"].ms),
        "post_with_feeds_ms": np.array(found["with_feeds"].ms),
        "feed_with_posts_ms": np.array(found["feeds"].ms),
        "post_connections_ms": np.array(found["connections"].ms),
        "feed_overload_ms": np.array(found["overload"].ms),
    }
    figures: dict[str, float | None] = {
        "post_ratio": ratio(percentile(found["with_feeds"].ms, 50), percentile(found["idle"].ms, 50)),
        "post_ratio_p99": ratio(percentile(found["with_feeds"].ms, 99), percentile(found["idle"].ms, 99)),
    }
    failures = []
    for name, prefix in (("connections", ""), ("overload", "overload_")):
        answers = found[name]
        slowest, longest = spread(answers.by_connection)
        figures[f"{prefix}connection_ratio"], figures[f"{prefix}longest_answer_ratio"] = slowest, longest
        figures[f"{prefix}answers"] = float(answers.statuses.total())
        figures[f"{prefix}refused_503"] = float(answers.statuses[503])
        figures[f"{prefix}refused_with_retry_after"] = float(answers.with_retry_after)
        unanswered = sum(not each for each in answers.by_connection)
        figures[f"{prefix}connections_never_served"] = float(unanswered)
    for name, answers in found.items():
        if answers.failed:
            failures.append(f"{name}: of {answers.statuses.total()} answers, failed by status: {dict(answers.failed)}")
        if not answers.ms:
            failures.append(f"{name}: nothing was answered")
    notes = {
        "connections": connections,
        "feeds_asked_per_s": FEEDS_A_SECOND,
        "posts_per_s": POSTS_A_SECOND,
        "method": "connection_ratio: mean answer time of the slowest connection / of the median one; "
        "longest_answer_ratio: longest answer / median answer; post_ratio: p50 with feeds / without",
    }
    return Report("ingest", samples, figures, targets=TARGETS, notes=notes, failures=failures, rounds=rounds)


# -- asking, in a process of its own ---------------------------------------------------------------


def post(chance: random.Random, users: Sequence[str], items: Sequence[str]) -> tuple[str, str, bytes]:
    """A click of a user at random on an item at random."""
    return "POST", "/v1/events", json.dumps(probes.click(chance.choice(users), chance.choice(items))).encode()


def get(chance: random.Random, users: Sequence[str], items: Sequence[str]) -> tuple[str, str, bytes]:
    """A feed of a user at random."""
    return "GET", clients.feed_path(chance.choice(users)), b""


Call = Callable[[random.Random, Sequence[str], Sequence[str]], tuple[str, str, bytes]]


def steady(
    host: str, port: int, users: Sequence[str], items: Sequence[str], call: Call, rate: float, seconds: float
) -> Answers:
    """Requests that are due at a steady rate, whether or not the ones before have been answered."""

    async def work() -> Answers:
        found, chance = Answers(), random.Random(8)
        free: list[HttpConnection] = []
        began = time.perf_counter()

        async def one(due: float) -> None:
            connection = free.pop() if free else HttpConnection(host, port)
            reply = await connection.ask(*call(chance, users, items))
            found.take(reply, (time.perf_counter() - due) * 1000)
            free.append(connection)

        tasks = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(due)))
        await asyncio.gather(*tasks)
        for connection in free:
            await connection.close()
        return found

    return clients.run(work)


def many(
    host: str, port: int, users: Sequence[str], items: Sequence[str], call: Call, connections: int, seconds: float
) -> Answers:
    """Connections that send the next request as soon as they are answered; waits for the last answers."""

    async def work() -> Answers:
        found, chance = Answers(), random.Random(9)
        until = time.perf_counter() + seconds

        async def one() -> None:
            connection, mine = HttpConnection(host, port), []
            while time.perf_counter() < until:
                reply = await connection.ask(*call(chance, users, items))
                found.take(reply, reply.ms)
                if reply.status in DONE:
                    mine.append(reply.ms)
                elif reply.status == 503:
                    await asyncio.sleep(min(reply.retry_after or 0.1, RETRY_AT_MOST_S))
            found.by_connection.append(mine)
            await connection.close()

        await asyncio.gather(*(one() for _ in range(connections)))
        return found

    return clients.run(work)
