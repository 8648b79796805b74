"""How many people a second a run of digests sends to, compared with the same answers by the pipeline alone.

Kafka and Redis are on a stack of their own, with synthetic items and people; the run is in this process, as that of
`freshet digests run`. It checks what was sent, caps and opt-outs, and commits digests and impressions to Kafka. The
answers alone are the person's read from the online store and the surface's stages, for the same people. Both take
turns.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench import catalogues
from bench.machine import Rounds
from bench.report import Report, Target, ratio
from bench.stacks import Say, own_stack, send
from freshet.commands.digests import started
from freshet.digests.outbox import Outbox
from freshet.digests.run import DigestRun, channel_of
from freshet.digests.sent import Sent
from freshet.settings import Settings
from recommend.surface import Surface
from recommend.surfaces.email import email
from serving.feeds import feed_parameters
from serving.personal import answer_to, read_others, read_person
from serving.requested import Requests
from serving.services import Services

ROUNDS = 4
TARGETS = (Target("digest_to_answer", "≤", 1.5),)
assert email.digest is not None
MAIL = replace(email, digest=replace(email.digest, quiet=None))
"""at any hour of the day"""


@dataclass
class Mailed:
    """What came of the rounds."""

    people: int = 0
    sent: int = 0
    digests_s: float = 0.0
    answers_s: float = 0.0
    answers_ms: list[float] = field(default_factory=list)
    """of each person's answer alone"""
    skipped: Counter[str] = field(default_factory=Counter)
    degraded: int = 0


def run(items: int, users: int, attempts: int, say: Say) -> Report:
    """ROUNDS runs to so many people, over a catalogue of so many items."""
    with own_stack(say) as stack:
        settings = stack.settings
        say(f"a bundle of {items:,} items, the catalogue, and {users:,} people")
        catalogues.publish(items, settings.bundles)
        catalogue = list(catalogues.catalogue(items))
        send(settings, catalogue)
        people = catalogues.people(settings, catalogue, users)
        with threadpool_limits(1, "blas"):  # one thread, as in the server
            return asyncio.run(_measured(settings, people, items, attempts, say))


async def _measured(settings: Settings, people: Sequence[str], items: int, attempts: int, say: Say) -> Report:
    services = await started(settings, MAIL)
    found, rounds = Mailed(), Rounds(say, attempts)
    try:
        outbox = Outbox(settings.connection, channel_of(MAIL))
        await _answers(services, MAIL, people[: len(people) // 10])
        loop = asyncio.get_running_loop()
        for number in range(ROUNDS):
            # The conditions of the machine are measured in threads: the round blocks one, and its work is on the loop.
            work = partial(_turn, loop, services, outbox, people, number)
            found_now = await asyncio.to_thread(rounds.measure, f"round {number + 1}", work)
            found = _added(found, found_now)
    finally:
        await services.stop()
    return report(found, items, len(people), rounds)


def _turn(
    loop: asyncio.AbstractEventLoop, services: Services, outbox: Outbox, people: Sequence[str], number: int
) -> Mailed:
    return asyncio.run_coroutine_threadsafe(_both(services, outbox, people, number), loop).result()


async def _both(services: Services, outbox: Outbox, people: Sequence[str], number: int) -> Mailed:
    """A run of a period of its own, and the answers alone; which of them is first changes from round to round."""
    found = Mailed(people=len(people))
    for what in ("digests", "answers") if number % 2 else ("answers", "digests"):
        began = time.perf_counter()
        if what == "answers":
            found.answers_ms, found.degraded = await _answers(services, MAIL, people)
            found.answers_s = time.perf_counter() - began
            continue
        with closing(Sent()) as sent:
            work = DigestRun(services, MAIL, sent, outbox, period=f"round-{number}-{time.time_ns()}")
            done = await work.run(people)
        found.digests_s, found.sent, found.skipped = time.perf_counter() - began, done.sent, done.skipped
    return found


async def _answers(services: Services, surface: Surface, people: Sequence[str]) -> tuple[list[float], int]:
    """Milliseconds of each person's answer, and how many fell back."""
    requests, parameters = Requests(services), feed_parameters(services.personal)
    asked = {each.name: each.default for each in parameters}
    ms, degraded = [], 0
    for user_id in people:
        began = time.perf_counter()
        requested = requests.check(asked, surface, parameters, user_id)
        person = await read_person(services, requested, user_id)
        others = await read_others(services, surface.reads, user_id, person, requested.now)
        query = requested.query(
            user=person.features, others=others.favourites, n=surface.paging.default, pairs=person.pairs,
            user_id=user_id,
        )  # fmt: skip
        answer = await answer_to(person, requested, query)
        ms.append((time.perf_counter() - began) * 1000)
        degraded += bool(answer.degraded)
    return ms, degraded


def _added(one: Mailed, other: Mailed) -> Mailed:
    return Mailed(
        one.people + other.people, one.sent + other.sent, one.digests_s + other.digests_s,
        one.answers_s + other.answers_s, one.answers_ms + other.answers_ms, one.skipped + other.skipped,
        one.degraded + other.degraded,
    )  # fmt: skip


def report(found: Mailed, items: int, users: int, rounds: Rounds | None = None) -> Report:
    """People a second of both, and the ratio of their times. Not sound where anybody was left out, or an answer fell
    back."""
    failures = [f"{n} people were skipped: {reason}" for reason, n in found.skipped.items()]
    if found.sent != found.people:
        failures.append(f"{found.sent} digests were sent to {found.people} people")
    if found.degraded:
        failures.append(f"{found.degraded} answers fell back")
    digests, answers = found.people / found.digests_s, found.people / found.answers_s
    return Report(
        "digests",
        samples={"answer_ms": np.array(found.answers_ms)},
        figures={
            "people_per_s": round(digests, 1),
            "answers_per_s": round(answers, 1),
            "digest_to_answer": ratio(answers, digests),
        },
        targets=TARGETS,
        notes={"items": items, "people": users},
        failures=failures,
        rounds=rounds,
    )
