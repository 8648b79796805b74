"""The simulation of bandits, in a small world of known rates."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from training.bandits import BASE, ClickRates, Policy, Statistics, context, measure, policies, run, table
from training.linear_arms import LinearArms
from training.open_bandit import RandomLog

WORLD = ClickRates(np.array([[0.3, 0.1, 0.05], [0.05, 0.1, 0.4]]), np.array([0.75, 0.25]))


def always(*chances: float) -> Policy:
    return Policy(lambda statistics, x: np.array(chances))


def test_the_world_of_a_log_is_its_rates_shrunk() -> None:
    rng = np.random.default_rng(0)
    n = 400_000
    items, segments = rng.integers(0, 3, n), (rng.random(n) < 0.25).astype(int)
    clicks = rng.random(n) < WORLD.rates[segments, items]
    found = ClickRates.of(RandomLog(items, clicks, segments))
    assert found.rates == pytest.approx(WORLD.rates, abs=0.01)
    assert found.shares == pytest.approx(WORLD.shares, abs=0.01)
    few = ClickRates.of(RandomLog(items[:30], clicks[:30], segments[:30]))
    assert np.ptp(few.rates) < 0.2, "few impressions say little"


def test_regret_of_a_fixed_policy_is_what_it_loses_to_the_best_of_each_segment() -> None:
    found = run(always(1, 0, 0), WORLD, 20_000, 500, np.random.default_rng(0))
    assert found.regret == pytest.approx(20_000 * 0.25 * 0.35, rel=0.05)
    assert run(always(0, 0, 1), WORLD, 100, 50, np.random.default_rng(0)).regret > 0


def test_a_policy_gives_probabilities() -> None:
    with pytest.raises(ValueError, match="do not sum to 1"):
        run(always(0.3, 0.3, 0.3), WORLD, 100, 50, np.random.default_rng(0))


def test_estimates_are_the_truth_within_their_errors() -> None:
    found = run(always(0.5, 0.3, 0.2), WORLD, 200_000, 500, np.random.default_rng(1))
    for name, truth in (("uniform", 0.75 * 0.15 + 0.25 * 0.55 / 3), ("best", 0.75 * 0.3 + 0.25 * 0.4)):
        value, error = found.estimates[name]
        assert abs(value - truth) < 4 * error < 0.02


def test_statistics_are_those_of_the_impressions() -> None:
    statistics = Statistics.new(WORLD)
    statistics.add(1, np.array([0, 0, 2]), np.array([True, False, True]))
    assert (statistics.counts.shown.tolist(), statistics.counts.rewarded.tolist()) == ([2, 0, 1], [1, 0, 1])
    x = context(1, 3)
    assert x.tolist() == [1, 0, 1]
    expected = LinearArms.new(3, 3)
    expected.precision[0] += 2 * np.outer(x, x)
    expected.precision[2] += np.outer(x, x)
    assert statistics.linear.precision.tolist() == expected.precision.tolist()
    assert statistics.linear.response.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_every_bandit_learns_and_the_table_says_so() -> None:
    found = measure(WORLD, rounds=20_000, batch=500, repeats=4)
    assert list(found) == list(policies())
    assert found[BASE]["difference"] == [0, 0, 0]
    uniform = run(always(1 / 3, 1 / 3, 1 / 3), WORLD, 20_000, 500, np.random.default_rng(0)).regret
    for name, figures in found.items():
        assert figures["regret"] < 0.6 * uniform, name
        for each in figures["estimates"].values():
            low, high = each["estimate"][1:]
            assert each["within"] is (low <= each["truth"] <= high)
            assert low > 0.3 * each["truth"], name
    assert found["linear_thompson"]["regret"] < found["thompson"]["regret"], "segments differ"
    console, made = Console(file=StringIO(), width=200), table(found)
    console.print(made)
    assert made.row_count == len(found)
