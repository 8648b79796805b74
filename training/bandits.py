"""Compares bandits in a simulation of Open Bandit's random log: `python -m training.bandits`.

The log is of the uniform policy, so that the rate of clicks of an item among the visitors of a segment is known without
bias. The simulation's rates are these, shrunk to the item's and the item's to the campaign's, since 10,000 impressions
have 46 clicks; visitors come in the proportions of the log. A policy sees clicks of earlier batches alone, as a policy
whose statistics are kept by a stream. Regret is what is lost to the best item of each visitor's segment, in expected
clicks.

Each policy is mixed with FLOOR of the uniform one, but for epsilon-greedy, which has its epsilon: every item keeps a
propensity. With the logged propensities the value of two other policies is estimated, uniform and the best of each
segment (inverse propensity weighting: Horvitz and Thompson, JASA 1952), and compared with the truth. That is ten
comparisons: their intervals hold jointly with 95 % (Bonferroni: each with 99.5 %). That level was set before the runs
with SEED were made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy import stats

from recommend import exploration
from recommend.exploration import ArmCounts
from training.linear_arms import LinearArms, lin_ucb, linear_thompson
from training.open_bandit import RandomLog, random_log

ROUNDS, BATCH, REPEATS = 400_000, 4000, 10
EPSILON, FLOOR = 0.1, 0.01
SEED = 2026
OF_ITEM, OF_SEGMENT = 100.0, 100.0
"""impressions that the campaign's rate counts as for an item's, and the item's for a segment's"""
BASE = "epsilon_greedy"
LEVEL = 0.05
ESTIMATES = 10
"""five policies, two estimates each: the intervals of all of them hold with 1 - LEVEL"""
Floats = npt.NDArray[np.float64]


class ClickRates(NamedTuple):
    """What the simulation draws from."""

    rates: Floats
    """(segments, items): the probability of a click"""
    shares: Floats
    """(segments,) of visitors"""

    @classmethod
    def of(cls, log: RandomLog) -> ClickRates:
        """The rates and shares of a log."""
        s, k = log.segments.max() + 1, log.items.max() + 1
        at = log.segments * k + log.items
        shown = np.bincount(at, minlength=s * k).reshape(s, k)
        clicked = np.bincount(at, log.clicks, s * k).reshape(s, k)
        of_item = (clicked.sum(axis=0) + OF_ITEM * log.clicks.mean()) / (shown.sum(axis=0) + OF_ITEM)
        return cls((clicked + OF_SEGMENT * of_item) / (shown + OF_SEGMENT), shown.sum(axis=1) / len(log.items))


@dataclass
class Statistics:
    """What a policy has learned: counts of each arm, and a linear model of each in the context of the segment."""

    counts: ArmCounts
    linear: LinearArms

    @classmethod
    def new(cls, world: ClickRates) -> Statistics:
        """Of nothing yet."""
        s, k = world.rates.shape
        return cls(ArmCounts(np.zeros(k), np.zeros(k)), LinearArms.new(k, s + 1))

    def add(self, segment: int, arms: npt.NDArray[np.int64], clicks: npt.NDArray[np.bool_]) -> None:
        """Adds the impressions of one segment's visitors."""
        k = len(self.counts)
        shown, clicked = np.bincount(arms, minlength=k), np.bincount(arms, clicks, k)
        self.counts = ArmCounts(self.counts.shown + shown, self.counts.rewarded + clicked)
        x = context(segment, self.linear.response.shape[1])
        self.linear.precision[:] += shown[:, None, None] * np.outer(x, x)
        self.linear.response[:] += clicked[:, None] * x


class Policy(NamedTuple):
    """The probability (k,) of each arm, by statistics and a context."""

    chances: Callable[[Statistics, Floats], Floats]
    contextual: bool = False
    """whether they differ between contexts"""


def context(segment: int, d: int) -> Floats:
    """A constant, which all segments share, and the segment."""
    found = np.zeros(d)
    found[[0, segment + 1]] = 1
    return found


def policies() -> dict[str, Policy]:
    """Name → policy; widths and noise are in clicks, whose standard deviation is near 0.07 at such rates. They are the
    best of a few values over repeats with another seed than SEED."""
    floored = partial(exploration.floored, epsilon=FLOOR)
    return {
        BASE: Policy(lambda s, x: exploration.epsilon_greedy(s.counts, EPSILON)),
        "ucb1": Policy(lambda s, x: floored(exploration.ucb1(s.counts, 0.01))),
        "thompson": Policy(lambda s, x: floored(exploration.thompson(s.counts, (1.0, 100.0)))),
        "lin_ucb": Policy(lambda s, x: floored(lin_ucb(s.linear, x, 0.06)), True),
        "linear_thompson": Policy(lambda s, x: floored(linear_thompson(s.linear, x, 0.07)), contextual=True),
    }


class BanditRun(NamedTuple):
    """One policy over all rounds."""

    regret: float
    """expected clicks"""
    estimates: dict[str, tuple[float, float]]
    """policy → (estimated value, its standard error), clicks an impression"""


def run(policy: Policy, world: ClickRates, rounds: int, batch: int, generator: np.random.Generator) -> BanditRun:
    """Simulates one policy."""
    statistics = Statistics.new(world)
    best = world.rates.argmax(axis=1)
    s, k = world.rates.shape
    regret, n = 0.0, 0
    sums = {"uniform": np.zeros(2), "best": np.zeros(2)}
    contexts = [context(segment, s + 1) for segment in range(s)]
    while n < rounds:
        seen = []
        of_each = [_summing(policy.chances(statistics, x)) for x in (contexts if policy.contextual else contexts[:1])]
        for segment, visitors in enumerate(generator.multinomial(batch, world.shares).tolist()):
            chances = of_each[segment % len(of_each)]
            arms = generator.choice(k, visitors, p=chances)
            propensities = chances[arms]
            clicks = generator.random(visitors) < world.rates[segment, arms]
            regret += float((world.rates[segment, best[segment]] - world.rates[segment, arms]).sum())
            for name, target in (("uniform", 1 / k), ("best", arms == best[segment])):
                weighted = target * clicks / propensities
                sums[name] += weighted.sum(), (weighted**2).sum()
            seen.append((segment, arms, clicks))
        for each in seen:
            statistics.add(*each)
        n += batch
    means = {
        name: (total / n, np.sqrt(max(squares / n - (total / n) ** 2, 0) / n))
        for name, (total, squares) in sums.items()
    }
    return BanditRun(regret, means)


def _summing(chances: Floats) -> Floats:
    """The chances, without the error of rounding in their sum. Raises ValueError where they are none."""
    if not (chances >= 0).all() or abs(chances.sum() - 1) > 1e-6:
        raise ValueError("the policy's probabilities do not sum to 1")
    return chances / chances.sum()


def measure(
    world: ClickRates, rounds: int = ROUNDS, batch: int = BATCH, repeats: int = REPEATS, seed: int = SEED
) -> dict[str, dict[str, Any]]:
    """Policy → its regret in expected clicks, the difference to epsilon-greedy's of the same repeat, and for each
    estimated policy the mean of the estimates from the repeats' logs; with 95 % intervals over repeats, jointly for all
    estimates.
    `within` says whether the interval has the truth; `logs_within` for which share of the logs that of one log has,
    which the normal distribution makes too narrow where propensities are small and clicks few."""
    truth = {
        "uniform": float(world.shares @ world.rates.mean(axis=1)),
        "best": float(world.shares @ world.rates.max(axis=1)),
    }
    runs = {
        name: [run(policy, world, rounds, batch, np.random.default_rng((seed, r))) for r in range(repeats)]
        for name, policy in policies().items()
    }
    base = np.array([each.regret for each in runs[BASE]])
    found: dict[str, dict[str, Any]] = {}
    for name, each in runs.items():
        regrets = np.array([one.regret for one in each])
        estimates = {}
        for of, value in truth.items():
            logs = np.array([one.estimates[of] for one in each])
            interval = _interval(logs[:, 0], LEVEL / ESTIMATES)
            covered = np.abs(logs[:, 0] - value) <= 1.96 * logs[:, 1]
            estimates[of] = {
                "truth": round(value, 6),
                "estimate": [round(bound, 6) for bound in interval],
                "within": bool(interval[1] <= value <= interval[2]),
                "logs_within": round(float(covered.mean()), 3),
            }
        found[name] = {
            "regret": round(float(regrets.mean()), 1),
            "difference": [round(bound, 1) for bound in _interval(regrets - base)],
            "estimates": estimates,
        }
    return found


def _interval(values: Floats, level: float = LEVEL) -> tuple[float, float, float]:
    """The mean of values (n,) and its interval that holds with 1 - level, by Student's t."""
    error = float(stats.t.ppf(1 - level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return mean, mean - error, mean + error


def table(measured: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures as a table of text."""
    made = Table(title="Open Bandit, campaign men, simulated")
    made.add_column("policy")
    for name in ("regret, clicks", "less epsilon-greedy's", "uniform", "truth", "best of segments", "truth"):
        made.add_column(name, justify="right")
    for name, figures in measured.items():
        middle, low, high = figures["difference"]
        cells = [name, f"{figures['regret']:.0f}", f"{middle:+.0f} ({low:+.0f} … {high:+.0f})"]
        for each in figures["estimates"].values():
            value, low, high = each["estimate"]
            cells += [f"{value:.5f} ({low:.5f} … {high:.5f})", f"{each['truth']:.5f}"]
        made.add_row(*cells)
    return made


def main() -> None:
    """Prints the table and one JSON line."""
    measured = measure(ClickRates.of(random_log()))
    Console(file=sys.stderr, width=max(160, Console().width)).print(table(measured))
    print(json.dumps({"bandits": measured}))


if __name__ == "__main__":
    main()
