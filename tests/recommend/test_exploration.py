"""Bandit policies: their probabilities against simulations of what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from recommend.exploration import (
    ArmCounts,
    LinearArms,
    draw,
    epsilon_greedy,
    floored,
    lin_ucb,
    linear_thompson,
    thompson,
    ucb1,
)

TIMES = 200_000


def counts(*pairs: tuple[float, float]) -> ArmCounts:
    """Arms of (shown, rewarded)."""
    return ArmCounts(np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], float))


def linear(arms: int, d: int, events: int, seed: int = 0) -> LinearArms:
    rng = np.random.default_rng(seed)
    found = LinearArms.new(arms, d)
    for _ in range(events):
        arm, x = rng.integers(arms), rng.normal(size=d)
        found.precision[arm] += np.outer(x, x)
        found.response[arm] += x * (rng.random() < 0.3 + 0.1 * arm)
    return found


ARMS = counts((100, 10), (1000, 120), (0, 0), (20, 5), (5000, 500))
MODELS, CONTEXT = linear(5, 3, 60), np.array([1.0, -0.5, 0.3])
POLICIES: dict[str, tuple[Callable[..., Any], Any]] = {
    "epsilon_greedy": (partial(epsilon_greedy, epsilon=0.2), ARMS),
    "ucb1": (ucb1, ARMS),
    "ucb1, floored": (lambda arms: floored(ucb1(arms), 0.3), ARMS),
    "thompson": (thompson, ARMS),
    "lin_ucb": (partial(lin_ucb, context=CONTEXT), MODELS),
    "linear_thompson": (partial(linear_thompson, context=CONTEXT), MODELS),
}
every = pytest.mark.parametrize("name", POLICIES)


def near(p: np.ndarray, times: int = TIMES) -> np.ndarray:
    """Four standard deviations of a share of that many draws, and 0.002 for the integral."""
    return 4 * np.sqrt(p * (1 - p) / times) + 0.002


# -- the probabilities -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arms",
    [
        ARMS,
        counts((0, 0), (0, 0), (0, 0)),
        counts((100_000, 400), (90_000, 390), (300, 0), (10, 1)),
        counts((1e7, 1e6), (1e7, 1.001e6), (3, 0)),
        counts((50, 50), (40, 40), (1, 0)),
        ArmCounts(np.arange(1.0, 81) * 40, np.arange(1.0, 81) // 4),
    ],
)
@pytest.mark.parametrize("prior", [(1.0, 1.0), (1.0, 200.0)])
def test_thompson_is_how_often_a_sample_of_the_arm_is_the_largest(arms: ArmCounts, prior: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    a, b = arms.rewarded + prior[0], arms.shown - arms.rewarded + prior[1]
    samples = rng.beta(a, b, (TIMES // 4, len(arms)))
    often = np.bincount(samples.argmax(axis=1), minlength=len(arms)) / len(samples)
    found = thompson(arms, prior)
    assert found.sum() == pytest.approx(1)
    assert (np.abs(found - often) <= near(often, len(samples))).all(), (found, often)


@pytest.mark.parametrize("events", [0, 10, 60, 2000])
@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_linear_thompson_is_how_often_a_sample_of_the_arm_is_the_largest(events: int, noise: float) -> None:
    models = linear(5, 3, events)
    rng = np.random.default_rng(1)
    scores = []
    for precision, response in zip(models.precision, models.response, strict=True):
        inverse = np.linalg.inv(precision)
        theta = rng.multivariate_normal(inverse @ response, noise**2 * inverse, TIMES)
        scores.append(theta @ CONTEXT)
    often = np.bincount(np.argmax(scores, axis=0), minlength=5) / TIMES
    found = linear_thompson(models, CONTEXT, noise)
    assert (np.abs(found - often) <= near(often)).all(), (found, often)


def test_epsilon_greedy_by_hand() -> None:
    assert epsilon_greedy(counts((10, 1), (10, 3), (10, 2)), 0.3) == pytest.approx([0.1, 0.8, 0.1])
    assert epsilon_greedy(counts((10, 3), (20, 6), (10, 2)), 0.3) == pytest.approx([0.45, 0.45, 0.1])
    assert epsilon_greedy(counts((10, 3), (0, 0)), 0.0).tolist() == [0, 1], "never shown comes first"


def test_ucb1_by_hand() -> None:
    # 100 shown: bounds 0.1 + sqrt(2 ln 100 / 10) = 1.060, 0.5 + sqrt(2 ln 100 / 90) = 0.820
    arms = counts((10, 1), (90, 45))
    assert ucb1(arms).tolist() == [1, 0]
    assert ucb1(arms, width=0.3).tolist() == [0, 1]
    assert ucb1(counts((10, 1), (0, 0), (0, 0))).tolist() == [0, 0.5, 0.5]


def test_lin_ucb_by_hand() -> None:
    # in the context [1, 0]: means 8 / 20 and 0, deviations 1 / sqrt(20) = 0.2236 and 1
    models = LinearArms(np.array([np.diag([20.0, 1]), np.eye(2)]), np.array([[8.0, 0], [0, 0]]))
    mean, deviation = models.predicted(np.array([1.0, 0]))
    assert (mean.tolist(), deviation) == ([0.4, 0.0], pytest.approx([0.2236, 1], abs=1e-4))
    assert lin_ucb(models, np.array([1.0, 0]), 1.0).tolist() == [0, 1]
    assert lin_ucb(models, np.array([1.0, 0]), 0.5).tolist() == [1, 0]


# -- choosing ----------------------------------------------------------------------------------------


@every
def test_a_propensity_is_how_often_its_list_is_drawn(name: str) -> None:
    policy, arms = POLICIES[name]
    found = draw(policy, arms, 2, np.random.default_rng(2), TIMES)
    lists, first, often = np.unique(found.arms, axis=0, return_index=True, return_counts=True)
    assert (lists[:, 0] != lists[:, 1]).all()
    p = found.propensities.prod(axis=1)
    for row, at, times in zip(lists, first, often, strict=True):
        same = (found.arms == row).all(axis=1)
        assert np.allclose(p[same], p[at])
        assert abs(times / TIMES - p[at]) <= 4.5 * np.sqrt(p[at] * (1 - p[at]) / TIMES) + 1 / TIMES
    assert p[first].sum() <= 1 + 1e-9


@every
def test_the_same_generator_draws_the_same(name: str) -> None:
    policy, arms = POLICIES[name]
    first, second = (draw(policy, arms, 3, np.random.default_rng(7), 20) for _ in range(2))
    assert first.arms.tolist() == second.arms.tolist()
    assert first.propensities.tolist() == second.propensities.tolist()


@every
def test_all_arms_are_drawn_where_there_are_more_slots(name: str) -> None:
    policy, arms = POLICIES[name]
    found = draw(policy, arms, 9, np.random.default_rng(0))
    assert sorted(found.arms[0].tolist()) == [0, 1, 2, 3, 4]
    assert found.propensities[0, -1] == 1
    assert draw(policy, arms.take(np.zeros(0, np.int64)), 2, np.random.default_rng(0)).arms.shape == (1, 0)


def test_with_a_floor_no_arm_is_without_a_chance() -> None:
    assert floored(ucb1(ARMS), 0.3).min() == pytest.approx(0.06)
    assert floored(np.array([0.5, 0.5]), 0).tolist() == [0.5, 0.5]


# -- what cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, float("nan")])
def test_epsilon_is_from_0_to_1(epsilon: float) -> None:
    with pytest.raises(ValueError, match="it is from 0 to 1"):
        epsilon_greedy(ARMS, epsilon)


def test_a_prior_has_a_bounded_density() -> None:
    with pytest.raises(ValueError, match="both are 1 at least"):
        thompson(ARMS, (0.5, 1.0))


@pytest.mark.parametrize("pair", [(1, 2), (1, -1), (float("nan"), 0), (float("inf"), 0)])
def test_counts_that_cannot_be(pair: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="rewarded more often than it is shown"):
        counts((5, 1), pair)


def test_statistics_are_of_the_same_arms() -> None:
    with pytest.raises(ValueError, match="not one number an arm"):
        ArmCounts(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="precision"):
        LinearArms(np.zeros((2, 3, 3)), np.zeros((2, 2)))


def test_a_policy_gives_probabilities() -> None:
    with pytest.raises(ValueError, match="do not sum to 1"):
        draw(lambda arms: np.full(5, 0.3), ARMS, 1, np.random.default_rng(0))
