"""Linear bandits: their probabilities against simulations of what they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from training.linear_arms import LinearArms, lin_ucb, linear_thompson

TIMES = 200_000
CONTEXT = np.array([1.0, -0.5, 0.3])


def linear(arms: int, d: int, events: int, seed: int = 0) -> LinearArms:
    rng = np.random.default_rng(seed)
    found = LinearArms.new(arms, d)
    for _ in range(events):
        arm, x = rng.integers(arms), rng.normal(size=d)
        found.precision[arm] += np.outer(x, x)
        found.response[arm] += x * (rng.random() < 0.3 + 0.1 * arm)
    return found


def near(p: np.ndarray, times: int = TIMES) -> np.ndarray:
    """Four standard deviations of a share of that many draws, and 0.002 for the integral."""
    return 4 * np.sqrt(p * (1 - p) / times) + 0.002


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


def test_lin_ucb_by_hand() -> None:
    # in the context [1, 0]: means 8 / 20 and 0, deviations 1 / sqrt(20) = 0.2236 and 1
    models = LinearArms(np.array([np.diag([20.0, 1]), np.eye(2)]), np.array([[8.0, 0], [0, 0]]))
    mean, deviation = models.predicted(np.array([1.0, 0]))
    assert (mean.tolist(), deviation) == ([0.4, 0.0], pytest.approx([0.2236, 1], abs=1e-4))
    assert lin_ucb(models, np.array([1.0, 0]), 1.0).tolist() == [0, 1]
    assert lin_ucb(models, np.array([1.0, 0]), 0.5).tolist() == [1, 0]


def test_statistics_are_of_the_same_arms() -> None:
    with pytest.raises(ValueError, match="precision"):
        LinearArms(np.zeros((2, 3, 3)), np.zeros((2, 2)))
