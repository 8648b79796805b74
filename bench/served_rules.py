"""Feeds of a running server with 200 rules in force, compared with feeds of the same server without any.

The catalogue, the people and the rules are those of the benchmarks of feeds and of rules in process. A feed is asked
for over HTTP, so that it has all that a client waits for: the person's row, the pipeline, the answer. The rules are put
into force and deleted by turns, through Kafka, as every change of a rule is.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import httpx
import msgspec
import numpy as np

from bench import catalogues, clients, servers
from bench.errors import Unsound
from bench.feed import FELL_BACK, OTHER_CORE, SERVER_CORE
from bench.filters import luck
from bench.machine import Rounds
from bench.quiet import quiet
from bench.report import Report, Target, ratio, summary
from bench.rules import SERIES, documents
from bench.stacks import Say, own_stack, producer, send
from freshet.local.stack import Stack
from schemas import codec, rules
from schemas.clock import now_ms
from schemas.topics import RULES

TURNS = 6
"""of each kind"""
IN_FORCE_S, COMPILED_S = 60.0, 1.0
"""how long rules may take until they are in force, and the time that what is kept of them then has to be made"""
TARGETS = (Target("p50_ratio", "≤", 1.2), Target("p99_ratio", "≤", 1.2))


@dataclass
class RuledFeeds:
    """Feeds of one kind."""

    ms: list[float] = field(default_factory=list)
    fell_back: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)

    def add(self, found: clients.FeedAnswers) -> None:
        self.ms += found.ms
        self.fell_back += found.fell_back
        self.bad += found.bad


def run(items: int, users: int, seconds: float, attempts: int, say: Say) -> Report:
    """Feeds one at a time for `seconds` of each kind."""
    rounds, asked = Rounds(say, attempts), {False: RuledFeeds(), True: RuledFeeds()}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, quiet) as client, own_stack(say, start_timeout=servers.START_S) as stack:
        settings = stack.settings
        say(f"a bundle of {items:,} items, the catalogue and people")
        catalogues.publish(items, settings.bundles)
        made = catalogues.attributed(items, SERIES)
        send(settings, made)
        people = catalogues.people(settings, made, users, luck)
        stack.up(["server"])
        servers.pin(settings, ("kafka", "redis"), [OTHER_CORE])
        servers.pin(settings, ("server",), [SERVER_CORE])
        with httpx.Client(base_url=settings.http_url, timeout=30, trust_env=False) as http:
            changes = _RuleChanges(stack, http)
            for warm in (False, True):
                changes.put(warm)
                _ask(stack, people, client, seconds / TURNS)
            for turn in range(2 * TURNS):
                ruled = turn % 2 == 1
                changes.put(ruled)
                name = f"feeds with{'' if ruled else 'out'} rules, turn {turn // 2 + 1}"
                asked[ruled].add(rounds.measure(name, partial(_ask, stack, people, client, seconds / TURNS)))
    return report(asked[False], asked[True], items, rounds)


class _RuleChanges:
    """Puts all rules into force, or none."""

    def __init__(self, stack: Stack, http: httpx.Client) -> None:
        self._kafka, self._http = producer(stack.settings.kafka), http
        self._documents = documents()
        self._version = 0

    def put(self, enabled: bool) -> None:
        """Returns when the server has them in force. Raises Unsound where that takes too long."""
        self._version += 1
        for name, rule in self._documents.items():
            text = msgspec.json.encode(rule).decode() if enabled else None
            change = rules.RuleChange(name, self._version, "bench", now_ms(), text)
            self._kafka.produce(RULES, key=name.encode(), value=codec.encode(change))
        self._kafka.flush()
        wanted, deadline = [(self._version, "in_force")] * len(self._documents) * enabled, time.monotonic() + IN_FORCE_S
        while self._listed() != wanted or self._acts() != enabled:
            if time.monotonic() > deadline:
                raise Unsound(f"{len(wanted)} rules are not in force after {IN_FORCE_S:.0f} s")
            time.sleep(0.1)
        time.sleep(COMPILED_S)

    def _listed(self) -> list[tuple[int, str]]:
        found = self._http.get("/v1/rules").raise_for_status().json()["rules"]
        return [(each["version"], each["state"]) for each in found]

    def _acts(self) -> bool:
        """Whether rules have an effect on a feed."""
        asked = {"n": "20", "explain": "full", "dry_run": "true"}
        found = self._http.get("/v1/users/u0/feed", params=asked).raise_for_status().json()
        return any(stage.get("rules") for stage in found["trace"])


def _ask(stack: Stack, people: list[str], client: Executor, seconds: float) -> clients.FeedAnswers:
    settings = stack.settings
    return client.submit(clients.feeds, settings.host, [settings.http_port], people, 1, seconds, OTHER_CORE).result()


def report(plain: RuledFeeds, ruled: RuledFeeds, items: int, rounds: Rounds | None = None) -> Report:
    """The figures: latency of each kind, and the ratio of the two."""
    failures = []
    for name, each in (("without rules", plain), ("with rules", ruled)):
        if each.bad:
            failures.append(f"{name}, besides {len(each.ms)} feeds: {dict(each.bad)}")
        if each.fell_back.total() > FELL_BACK * max(1, len(each.ms)):
            failures.append(f"{name}, of {len(each.ms)} feeds stages fell back: {dict(each.fell_back)}")
    without, within = summary(plain.ms), summary(ruled.ms)
    return Report(
        "served_rules",
        samples={"no_rules_ms": np.array(plain.ms), "rules_ms": np.array(ruled.ms)},
        figures={"p50_ratio": ratio(within["p50"], without["p50"]), "p99_ratio": ratio(within["p99"], without["p99"])},
        targets=TARGETS,
        notes={"items": items, "rules": len(documents())},
        failures=failures,
        rounds=rounds,
    )
