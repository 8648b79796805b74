"""Measures the time until an event is visible: produce → Feast, and HTTP click → changed feed, under a steady load.

With several numbers of declared features each is measured in halves on stacks of its own, in the order A B B A, so that
a steady drift of the machine falls on both alike.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bench import probes
from bench.machine import Rounds
from bench.quiet import quiet
from bench.report import Report, Samples, Target, percentile, ratio
from bench.repositories import check, declare
from bench.stacks import Say, load_movielens, own_stack
from freshet.settings import Settings
from training.datasets import Dataset

RATE = 300.0
PROBES_A_SECOND = 6.0
CLICKS_A_SECOND = 4.0
WARM_UP_S = 20.0
SPARE_S = 200.0
"""for which the load goes on if nobody stops it, since probes take time to start and to give up"""
FELL_BACK = 0.01
TARGETS = (
    Target("produce_to_feast_ms.p50", "≤", 15),
    Target("produce_to_feast_ms.p99", "≤", 60),
    Target("p99_to_p50", "≤", 5),
    Target("click_to_feed_ms.p50", "≤", 40),
    Target("click_to_feed_ms.p99", "≤", 150),
    Target("features_ratio", "≤", 1.3),
)


@dataclass
class Measured:
    """The samples with one number of declared features."""

    feast: list[float] = field(default_factory=list)
    clicks: list[float] = field(default_factory=list)
    wrong_feast: Counter[str] = field(default_factory=Counter)
    wrong_clicks: Counter[str] = field(default_factory=Counter)
    rates: list[float] = field(default_factory=list)
    undelivered: int = 0

    def add(self, other: Measured) -> None:
        self.feast += other.feast
        self.clicks += other.clicks
        self.wrong_feast += other.wrong_feast
        self.wrong_clicks += other.wrong_clicks
        self.rates += other.rates
        self.undelivered += other.undelivered

    def faults(self, features: int) -> list[str]:
        """Reasons for which the figures are not of a stack that keeps up with the load."""
        found = []
        of = f"with {features} declared features"
        if self.wrong_feast:
            found.append(f"{of}, of {len(self.feast)} events probed: {dict(self.wrong_feast)}")
        wrong = Counter(self.wrong_clicks)
        fell_back = wrong.pop("fell back", 0)
        if wrong:
            found.append(f"{of}, in addition to {len(self.clicks)} good feeds after a click: {dict(wrong)}")
        if fell_back > FELL_BACK * (len(self.clicks) + fell_back):
            found.append(f"{of}, {fell_back} of {len(self.clicks) + fell_back} feeds fell back")
        if not self.feast or not self.clicks:
            found.append(f"{of}, {len(self.feast)} events and {len(self.clicks)} feeds were measured")
        if self.undelivered:
            found.append(f"{of}, Kafka did not acknowledge {self.undelivered} events of the load")
        if any(rate < 0.98 * RATE for rate in self.rates):
            found.append(f"{of}, the load was {min(self.rates):.0f} events/s instead of {RATE:.0f}")
        return found


def order(features: Sequence[int]) -> list[int]:
    """The numbers of features in the order of their stacks: once where there is one, else forth and back."""
    return [*features, *reversed(features)] if len(features) > 1 else list(features)


def run(seconds: float, features: Sequence[int], attempts: int, say: Say, warm_up: float = WARM_UP_S) -> Report:
    """The whole stack under RATE events a second of MovieLens, watched for `seconds` after a warm-up, with each of
    `features` declared features."""
    check(features)
    rounds = Rounds(say, attempts)
    found = {count: Measured() for count in features}
    planned = order(features)
    for number, count in enumerate(planned):
        declare(count)
        with own_stack(say) as stack:
            data = load_movielens(stack.settings, say)
            stack.up()
            length = seconds * len(features) / len(planned)
            say(f"{count} declared features: {warm_up:.0f} s of warm-up, {length:.0f} s at {RATE:.0f} events/s")
            _watch(stack.settings, data, warm_up, length, rounds, f"{count} features, stack {number + 1}", found[count])
    return report(found, rounds)


def _watch(
    settings: Settings, data: Dataset, warm_up: float, seconds: float, rounds: Rounds, name: str, found: Measured
) -> None:
    users, items = [u.user_id for u in data.users], [i.item_id for i in data.items]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(3, spawn, quiet) as pool:
        enough = manager.Event()
        longest = warm_up + rounds.attempts * (seconds + 2 * probes.PATIENCE_S) + SPARE_S
        load = pool.submit(probes.background, settings.kafka, RATE, longest, enough)

        def probe(length: float) -> Measured:
            watched = settings.kafka, settings.feature_store, users, items
            feast = pool.submit(probes.produce_to_feast, *watched, PROBES_A_SECOND, length)
            clicked = settings.host, settings.http_port, users
            clicks = pool.submit(probes.click_to_feed, *clicked, CLICKS_A_SECOND, length)
            (ms, wrong), (clicks_ms, clicks_wrong) = feast.result(), clicks.result()
            return Measured(ms, clicks_ms, wrong, clicks_wrong)

        try:
            probe(warm_up)
            found.add(rounds.measure(name, lambda: probe(seconds)))
        finally:
            enough.set()
        rate, undelivered = load.result()
        found.add(Measured(rates=[rate], undelivered=undelivered))


def report(found: dict[int, Measured], rounds: Rounds | None) -> Report:
    """Samples and ratios; those of the first number of features without a suffix."""
    samples: dict[str, Samples] = {}
    figures: dict[str, float | None] = {}
    failures = []
    first, *others = found
    for count in found:
        each, end = found[count], "" if count == first else f"_{count}_features"
        samples |= {
            f"produce_to_feast_ms{end}": np.array(each.feast),
            f"click_to_feed_ms{end}": np.array(each.clicks),
        }
        figures[f"p99_to_p50{end}"] = ratio(percentile(each.feast, 99), percentile(each.feast, 50))
        figures[f"load_events_per_s{end}"] = round(min(each.rates), 1) if each.rates else None
        failures += each.faults(count)
    if others:
        most, least = found[max(found)], found[min(found)]
        for name, q in (("features_ratio", 50), ("features_ratio_p99", 99)):
            figures[name] = ratio(percentile(most.feast, q), percentile(least.feast, q))
    figures["declared_features"] = float(first)
    chosen = tuple(target for target in TARGETS if target.name.partition(".")[0] in samples | figures)
    notes = {"resolution": f"an event that is not in Feast after {probes.PATIENCE_S:.0f} s counts with the time waited"}
    return Report("freshness", samples, figures, targets=chosen, notes=notes, failures=failures, rounds=rounds)
