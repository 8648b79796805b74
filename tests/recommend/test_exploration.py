"""Bandit policies: their probabilities against simulations of what they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from recommend.exploration import ArmCounts, epsilon_greedy, floored, thompson, ucb1

TIMES = 200_000


def counts(*pairs: tuple[float, float]) -> ArmCounts:
    """Arms of (shown, rewarded)."""
    return ArmCounts(np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], float))


ARMS = counts((100, 10), (1000, 120), (0, 0), (20, 5), (5000, 500))


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
