"""Asks for feeds while bundles change, and checks every answer.

Requests are due at a steady rate, whether or not those before have been answered, and a latency counts from then.
Answers are kept as they came and checked after the load, so that checking takes no time from it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from bench import clients
from bench.clients import SHOWN, HttpConnection
from bench.expected import ExpectedModel, decode, mixed
from bench.report import Samples
from schemas import traffic
from schemas.traffic import DEFAULT, Share

CONNECTIONS = 8
"""at once, where everybody is asked for once"""
LONGEST_S = 900.0
"""load that nobody stops ends after so long"""


class Api(NamedTuple):
    """The server."""

    host: str
    port: int
    key: str


class AskedFeed(NamedTuple):
    """A request and its answer. Moments are of `time.perf_counter`, which is the same in all processes."""

    user_id: str
    variant: str | None
    """that the request names"""
    due: float
    sent: float
    received: float
    status: int
    body: bytes


@dataclass
class CheckedAnswers:
    """Parallel lists with an entry for each answer, and what is wrong with them by reason."""

    due: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    variants: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    """"" where the request failed"""
    degraded: list[bool] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    """steps that fell back"""
    shown: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    """by version and person, the items shown last"""
    nearest: int = 0
    """shown items that the search for the person found"""
    items: int = 0

    @property
    def ms(self) -> Samples:
        """Milliseconds (n,) from when each request was due."""
        return (np.array(self.received) - np.array(self.due)) * 1000

    def __len__(self) -> int:
        return len(self.due)

    def first_of(self, version: str) -> float | None:
        """The moment at which the first answer of this version was received."""
        return min((at for at, it in zip(self.received, self.versions, strict=True) if it == version), default=None)

    def overlap(self, version: str, other: str) -> float | None:
        """Mean share of the items shown to a person by one version that the other one shows to the same person."""
        both = self.shown.get(version, {}).keys() & self.shown.get(other, {}).keys()
        shares = [len(self.shown[version][u] & self.shown[other][u]) / SHOWN for u in both]
        return round(float(np.mean(shares)), 4) if shares else None


class Rules(NamedTuple):
    """What every answer has to be: models by version, the versions that a variant may have, and people's shares."""

    models: Mapping[str, ExpectedModel]
    versions: Mapping[str, Sequence[str]]
    """by variant, in the order in which they are put in force"""
    traffic: Mapping[str, Share]


def check(asked: Sequence[AskedFeed], rules: Rules) -> CheckedAnswers:
    """Checks the answers, in the order in which they were due."""
    found = CheckedAnswers()
    for each in sorted(asked, key=lambda it: it.due):
        found.due.append(each.due)
        found.sent.append(each.sent)
        found.received.append(each.received)
        expected = each.variant or traffic.assign(each.user_id, rules.traffic)
        found.variants.append(expected)
        version, degraded = _check(each, expected, rules, found)
        found.versions.append(version)
        found.degraded.append(degraded)
    for variant, versions in rules.versions.items():
        found.wrong["an older bundle answers again"] += _returned(found, variant, versions)
    found.wrong = +found.wrong
    return found


def _check(each: AskedFeed, variant: str, rules: Rules, found: CheckedAnswers) -> tuple[str, bool]:
    """(version of the answer, whether it is degraded)."""
    if each.status != 200:
        found.wrong[f"status {each.status}"] += 1
        return "", False
    try:
        answer = decode(each.body)
    except msgspec.DecodeError as error:
        found.wrong[f"unreadable: {error}"] += 1
        return "", False
    version = answer.model_version or ""
    if answer.user_id != each.user_id or answer.variant != variant:
        found.wrong["another variant or person than asked for"] += 1
    if len(answer.items) != SHOWN:
        found.wrong["incomplete"] += 1
    if version not in rules.versions[variant]:
        found.wrong["the version is not one of the variant's"] += 1
        return version, bool(answer.degraded)
    if answer.degraded:  # what a stage fell back to is of no bundle
        found.steps.update(answer.degraded)
        return version, True
    found.wrong.update(f"mixed: {reason}" for reason in mixed(answer, rules.models[version]))
    found.nearest += sum("nearest" in shown.detail.sources for shown in answer.items)
    found.items += len(answer.items)
    found.shown.setdefault(version, {})[answer.user_id] = frozenset(shown.item_id for shown in answer.items)
    return version, False


def _returned(found: CheckedAnswers, variant: str, versions: Sequence[str]) -> int:
    """How many answers are of an earlier version although a later one had answered before they were asked for."""
    firsts = [found.first_of(version) for version in versions]
    answers = zip(found.sent, found.variants, found.versions, strict=True)
    return sum(
        any(first is not None and sent > first for first in firsts[versions.index(version) + 1 :])
        for sent, of, version in answers
        if of == variant and version in versions
    )


# -- asking, in a process of its own ---------------------------------------------------------------


def steady(
    api: Api, users: Sequence[str], variants: Sequence[str | None], rate: float, stop: Path, rules: Rules
) -> CheckedAnswers:
    """Feeds of people at random, `rate` a second, until the file `stop` is there. Requests name the variants in turn;
    None stands for a request that names none."""

    async def work() -> list[AskedFeed]:
        chance, asked = random.Random(8), list[AskedFeed]()
        free: list[HttpConnection] = []
        began = time.perf_counter()

        async def one(due: float, user: str, variant: str | None) -> None:
            connection = free.pop() if free else HttpConnection(*api)
            asked.append(await _ask(connection, user, variant, due))
            free.append(connection)

        tasks, number = [], 0
        while not stop.exists() and number < rate * LONGEST_S:
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(due, chance.choice(users), variants[number % len(variants)])))
            number += 1
        await asyncio.gather(*tasks)
        for connection in free:
            await connection.close()
        return asked

    return check(clients.run(work), rules)


def everybody(api: Api, users: Sequence[str], variants: Sequence[str | None], rules: Rules) -> CheckedAnswers:
    """One feed of each person with each of the variants, as fast as they are answered."""

    async def work() -> list[AskedFeed]:
        todo = iter([(user, variant) for variant in variants for user in users])
        asked = list[AskedFeed]()

        async def one() -> None:
            connection = HttpConnection(*api)
            for user, variant in todo:
                asked.append(await _ask(connection, user, variant, time.perf_counter()))
            await connection.close()

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
        return asked

    return check(clients.run(work), rules)


async def _ask(connection: HttpConnection, user: str, variant: str | None, due: float) -> AskedFeed:
    path = f"{clients.feed_path(user)}&explain=full" + (f"&variant={variant}" if variant else "")
    sent = time.perf_counter()
    reply = await connection.ask("GET", path)
    return AskedFeed(user, variant, due, sent, time.perf_counter(), reply.status, reply.body)


CANDIDATE = "candidate"
VARIANTS = (None, CANDIDATE, None, DEFAULT)
"""what the requests of the load name, in turn"""
