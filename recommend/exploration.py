"""Bandit policies for exploration slots, as pure functions of the statistics of arms.

A policy gives the probability of each arm to be chosen; whoever draws by these probabilities logs them as propensities.
A propensity is therefore exactly the probability with which its arm was chosen, also under Thompson sampling, where a
numerical integral takes the place of a posterior sample: the probability that an arm's reward is the largest has no
closed form.

epsilon_greedy     the largest mean, another one with probability epsilon
ucb1               Auer, Cesa-Bianchi, Fischer, Machine Learning 47, 2002; its bound is wide for rare rewards: `width`
thompson           Beta-Bernoulli (Thompson, 1933; Chapelle and Li, NIPS 2011)
gaussian_thompson  Gaussian posteriors, as of a linear model (Agrawal and Goyal, ICML 2013)

The UCB is deterministic: an arm that is not chosen has the propensity 0, so that logs of its alone estimate no other
policy. `floored` mixes a policy with the uniform one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
GRID, OF_EACH, WIDTH = 128, 19, 6.0
"""points of the integral: over all, around each arm; standard deviations to either side"""


@dataclass(frozen=True)
class ArmCounts:
    """How often each arm was shown and rewarded, (k,) each; decayed counts may be fractions."""

    shown: Floats
    rewarded: Floats

    def __post_init__(self) -> None:
        """Raises ValueError where the counts cannot be."""
        if self.shown.ndim != 1 or self.shown.shape != self.rewarded.shape:
            raise ValueError(f"shown {self.shown.shape} and rewarded {self.rewarded.shape} are not one number an arm")
        if not ((self.rewarded >= 0) & (self.rewarded <= self.shown) & np.isfinite(self.shown)).all():
            raise ValueError("an arm is rewarded more often than it is shown, or a count is not finite or below 0")

    def __len__(self) -> int:
        return len(self.shown)


# -- policies: the probability (k,) of each arm ------------------------------------------------------


def epsilon_greedy(arms: ArmCounts, epsilon: float) -> Floats:
    """The arm with the largest mean reward, arms that were never shown first; of equal ones each alike."""
    means = np.where(arms.shown > 0, arms.rewarded / np.maximum(arms.shown, 1e-12), np.inf)
    return floored(largest(means), epsilon)


def ucb1(arms: ArmCounts, width: float = 1.0) -> Floats:
    """The arm with the largest mean + width * sqrt(2 ln t / shown), arms that were never shown first."""
    shown = np.maximum(arms.shown, 1e-12)
    t = max(float(arms.shown.sum()), 1.0)
    bounds = arms.rewarded / shown + width * np.sqrt(2 * np.log(t) / shown)
    return largest(np.where(arms.shown > 0, bounds, np.inf))


def thompson(arms: ArmCounts, prior: tuple[float, float] = (1.0, 1.0)) -> Floats:
    """The probability that each arm's rate is the largest, rates being Beta(rewarded + prior[0], shown - rewarded +
    prior[1]). Raises ValueError where a prior is below 1: the densities would have no bound."""
    if min(prior) < 1:
        raise ValueError(f"prior {prior}: both are 1 at least")
    a = arms.rewarded + prior[0]
    b = arms.shown - arms.rewarded + prior[1]
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1 - mean) / (a + b + 1))
    x = _grid(mean, deviation).clip(1e-12, 1 - 1e-12)
    return _chance_of_being_largest(x, (a - 1)[:, None] * np.log(x) + (b - 1)[:, None] * np.log1p(-x))


def gaussian_thompson(mean: Floats, deviation: Floats) -> Floats:
    """The probability (k,) that each of k independent Gaussians is the largest."""
    x = _grid(mean, deviation)
    return _chance_of_being_largest(x, -0.5 * ((x - mean[:, None]) / deviation[:, None]) ** 2)


def floored(probabilities: Floats, epsilon: float) -> Floats:
    """A mixture with the uniform policy: no probability is below epsilon / k. Raises ValueError where epsilon is not
    from 0 to 1."""
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon}; it is from 0 to 1")
    return (1 - epsilon) * probabilities + epsilon / max(len(probabilities), 1)


def largest(values: Floats) -> Floats:
    """The probability (k,) of each arm where the largest is chosen, and one of equal ones at random."""
    best = values == values.max(initial=-np.inf)
    return best / max(best.sum(), 1)


def _grid(mean: Floats, deviation: Floats) -> Floats:
    """Ascending points, evenly over all arms and around each."""
    low, high = (mean - WIDTH * deviation).min(initial=np.inf), (mean + WIDTH * deviation).max(initial=-np.inf)
    around = mean[:, None] + deviation[:, None] * np.linspace(-WIDTH, WIDTH, OF_EACH)
    return np.unique(np.concatenate([np.linspace(low, high, GRID) if len(mean) else mean, around.ravel()]))


def _chance_of_being_largest(x: Floats, log_density: Floats) -> Floats:
    """The probability (k,) that each of k independent variables is the largest, from logarithms (k, points) of their
    densities at x (points,), up to a factor each: integral of f_i times the product of the other F_j, by trapezoids."""
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    steps = np.diff(x)
    parts = (density[:, 1:] + density[:, :-1]) / 2 * steps
    below = np.concatenate([np.zeros((len(density), 1)), np.cumsum(parts, axis=1)], axis=1)
    total = below[:, -1:]
    logs = np.log(np.maximum(below / total, 1e-300))
    inner = density / total * np.exp(logs.sum(axis=0) - logs)
    chances = ((inner[:, 1:] + inner[:, :-1]) / 2 * steps).sum(axis=1)
    return chances / chances.sum()
