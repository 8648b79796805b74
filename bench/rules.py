"""The pipeline with 200 rules in force, compared with it without any, in process: where their cost arises.

As the benchmark of filters: the pipeline answers as in the server, without HTTP and without hydration, and both cases
take turns; bench/served_rules.py has the cost as a share of what a client waits for. The rules are of every kind, and
most of them meet their conditions in every request; a tenth are for a segment of people, so that attributes are read.
Another two cases have items change meanwhile; they come afterwards, since what changes is evaluated anew by whichever
request meets it.
"""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench.filters import ROUNDS, SECOND, WARM_UP, FilteredCatalogue, in_turns, made_world
from bench.machine import Rounds
from bench.report import Report, ratio, summary
from bench.stacks import Say
from operators.time import DAY
from recommend.filtering import ItemFilters
from recommend.rules.rule_set import NO_RULES, RuleSet, compile_all
from recommend.surfaces import home
from schemas import rules
from schemas.clock import now_ms
from schemas.rules import Rule

RULES = 200
CHANGED, APART_MS = 7, 13
"""items that change before each request where they do, and ms between those: 500 a second at 75 feeds a second"""
SERIES = {"series": lambda k: f"s{k // 3}"}
"""what the items have besides the attributes of the benchmark of filters"""


@dataclass
class RulesCase:
    """One kind of request."""

    name: str
    rules: RuleSet
    changes: bool = False
    ms: list[float] = field(default_factory=list)
    degraded: int = 0
    failed: set[str] = field(default_factory=set)
    """rules that failed"""


def documents(n: int = RULES) -> dict[str, Rule]:
    """So many rules: of ten, four hide or bury, three promote, and one each pins, caps and sponsors."""
    found: dict[str, Any] = {}
    for k in range(n):
        low = k / n
        where = {"where": f"item.chance >= {low} && item.chance < {low + 0.002}"}
        kinds: tuple[dict[str, Any], ...] = (
            {"kind": "hide", **where},
            {"kind": "bury", **where, "places": 10},
            {"kind": "hide", "items": [f"i{k * 31 + j}" for j in range(20)]},
            {"kind": "bury", "where": f"item.price > {50 + k / 4}"},
            {"kind": "promote", **where, "places": 20},
            {"kind": "promote", "where": f'"c{k % 8}" in item.categories', "places": 1 + k % 5},
            {"kind": "promote", **where, "share": 0.01},
            {"kind": "pin", "item_id": f"i{k * 17}", "position": k % 20},
            {"kind": "cap", "where": f'"c{k % 8}" in item.categories', "most": 8 + k % 4}
            if k % 20 < 10
            else {"kind": "cap", "by": "brand", "most": 5, "first": 10 + k % 20},
            {"kind": "sponsor", **where, "positions": [k % 20]},
        )
        rule = dict(kinds[k % len(kinds)])
        if k % len(kinds) == k // len(kinds) % len(kinds):
            rule["segment"] = f"user.luck > {k / 1e9}"
        found[f"rule-{k}"] = {**rule, "priority": k % 7}
    found["rule-0"] = {"kind": "dedupe", "by": "series"}
    return {name: rules.parse(document) for name, document in found.items()}


def run(items: int, requests: int, attempts: int, say: Say) -> Report:
    """`requests` of each case, over a catalogue of so many items."""
    say(f"a catalogue of {items:,} items, and its bundle")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):  # one thread, as in the server
        world = made_world(items, Path(folder), SERIES)
        columns = world.catalogue.columns
        started = time.perf_counter()
        ruled = compile_all(documents(), columns, ItemFilters(columns))
        compiled_ms = (time.perf_counter() - started) * 1000
        cases = [
            RulesCase("no_rules", NO_RULES),
            RulesCase("rules", ruled),
            RulesCase("no_rules_and_changes", NO_RULES, True),
            RulesCase("rules_and_changes", ruled, True),
        ]
        chance, clock = random.Random(6), now_ms()
        gc.collect()
        gc.freeze()  # as the server does
        for case in cases:
            _ask(case, world, chance, clock, WARM_UP)
            case.ms.clear()
        rounds = Rounds(say, attempts)

        def ask(case: RulesCase, at: int) -> list[float]:
            return _ask(case, world, chance, at, WARM_UP)

        for name, pair in (("unchanged items", cases[:2]), ("changing items", cases[2:])):
            for number in range(ROUNDS):
                clock += DAY // 100
                turns = rounds.measure(f"{name}, round {number + 1}", partial(in_turns, pair, requests, clock, ask))
                for case, ms in zip(pair, turns, strict=True):
                    case.ms += ms
    return report(cases, items, compiled_ms, rounds)


def _ask(case: RulesCase, world: FilteredCatalogue, chance: random.Random, clock: int, requests: int) -> list[float]:
    samples, apart = [], APART_MS if case.changes else SECOND
    world.pipeline.popular.everywhere()
    world.pipeline.popular.within("DE")
    for k in range(requests):
        person = chance.choice(world.people)
        if case.changes:
            for _ in range(CHANGED):
                row = chance.randrange(world.catalogue.columns.n)
                item = world.catalogue.columns.items[row]
                assert item is not None
                world.catalogue.put_item(msgspec.structs.replace(item, price=chance.random() * 100))
        started = time.perf_counter()
        query = world.pipeline.query(at=clock + k * apart, user=person, region="DE", rules=case.rules)
        answer = world.pipeline.recommend(home, query)
        samples.append((time.perf_counter() - started) * 1000)
        case.degraded += bool(answer.degraded)
        if case.rules.rules:
            case.failed |= {each.rule for each in query.ruling.effects if each.failed is not None}
    return samples


def report(cases: Sequence[RulesCase], items: int, compiled_ms: float, rounds: Rounds | None = None) -> Report:
    """The figures: latency of each case, and its ratio to that without rules."""
    plain, ruled, changing_plain, changing = (summary(case.ms) for case in cases)
    failures = [f"{case.name}: {case.degraded} answers fell back" for case in cases if case.degraded]
    failures += [f"{case.name}: rules failed: {', '.join(sorted(case.failed))}" for case in cases if case.failed]
    failures += [f"rules do not fit: {', '.join(case.rules.faults)}" for case in cases[1:2] if case.rules.faults]
    return Report(
        "rules",
        samples={f"{case.name}_ms": np.array(case.ms) for case in cases},
        figures={
            "p50_ratio": ratio(ruled["p50"], plain["p50"]),
            "p99_ratio": ratio(ruled["p99"], plain["p99"]),
            "p50_ratio_with_changes": ratio(changing["p50"], changing_plain["p50"]),
            "p99_ratio_with_changes": ratio(changing["p99"], changing_plain["p99"]),
            "compile_ms": round(compiled_ms, 1),
        },
        notes={"items": items, "rules": len(cases[1].rules.rules)},
        failures=failures,
        rounds=rounds,
    )
