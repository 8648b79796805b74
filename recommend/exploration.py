"""Bandit policies for exploration slots, as pure functions of the statistics of arms.

A policy gives the probability of each arm to be chosen for a slot; `draw` chooses arms by those probabilities and
returns them with the arms. A propensity is therefore exactly the probability with which its arm was chosen, also under
Thompson sampling, where a numerical integral takes the place of a posterior sample: the probability that an arm's
reward is the largest has no closed form.

epsilon_greedy   the largest mean, another one with probability epsilon
ucb1             Auer, Cesa-Bianchi, Fischer, Machine Learning 47, 2002; its bound is wide for rare rewards: `width`
thompson         Beta-Bernoulli (Thompson, 1933; Chapelle and Li, NIPS 2011)
lin_ucb          disjoint linear models (Li, Chu, Langford, Schapire, WWW 2010, algorithm 1)
linear_thompson  the same models with Gaussian posteriors (Agrawal and Goyal, ICML 2013)

The two UCBs are deterministic: an arm that is not chosen has the propensity 0, so that logs of theirs alone estimate no
other policy. `floored` mixes a policy with the uniform one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
GRID, OF_EACH, WIDTH = 128, 19, 6.0
"""points of the integral: over all, around each arm; standard deviations to either side"""


class Arms(Protocol):
    """The statistics of k arms."""

    def __len__(self) -> int: ...

    def take(self, positions: Positions) -> Self:
        """Those of some of the arms."""


A = TypeVar("A", bound=Arms)


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

    def take(self, positions: Positions) -> ArmCounts:
        return ArmCounts(self.shown[positions], self.rewarded[positions])


@dataclass(frozen=True)
class LinearArms:
    """A ridge regression of rewards on contexts for each arm: `precision` (k, d, d) is I + sum of x x', `response`
    (k, d) the sum of reward * x."""

    precision: Floats
    response: Floats

    def __post_init__(self) -> None:
        """Raises ValueError where the shapes do not fit together."""
        k, d = self.response.shape if self.response.ndim == 2 else (-1, -1)
        if self.precision.shape != (k, d, d):
            raise ValueError(f"precision {self.precision.shape} is not that of responses {self.response.shape}")

    @classmethod
    def new(cls, arms: int, d: int) -> LinearArms:
        """Arms of which nothing is known."""
        return cls(np.tile(np.eye(d), (arms, 1, 1)), np.zeros((arms, d)))

    def __len__(self) -> int:
        return len(self.response)

    def take(self, positions: Positions) -> LinearArms:
        return LinearArms(self.precision[positions], self.response[positions])

    def predicted(self, context: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation (k,) each of the reward in a context (d,), per unit of noise."""
        solved = np.linalg.solve(self.precision, np.broadcast_to(context[:, None], (*self.response.shape, 1)))[..., 0]
        return np.einsum("kd,kd->k", solved, self.response), np.sqrt(solved @ context)


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


def lin_ucb(arms: LinearArms, context: Floats, width: float = 1.0) -> Floats:
    """The arm with the largest predicted mean + width * standard deviation in the context (d,)."""
    mean, deviation = arms.predicted(context)
    return largest(mean + width * deviation)


def linear_thompson(arms: LinearArms, context: Floats, noise: float = 1.0) -> Floats:
    """The probability that each arm's reward in the context (d,) is the largest, rewards being independent Gaussians
    with the predicted means and noise * standard deviation."""
    mean, deviation = arms.predicted(context)
    return gaussian_thompson(mean, noise * deviation)


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


# -- choosing --------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """Arms in the order of the slots, of each list a row: (times, slots)."""

    arms: Positions
    propensities: Floats
    """the probability of each, given those before it; the product of a row is that of its list"""


def draw(policy: Callable[[A], Floats], arms: A, slots: int, generator: np.random.Generator, times: int = 1) -> Drawn:
    """Chooses different arms for `slots` slots, fewer where there are not as many: one after the other, each time by
    the policy over the arms that are left. `times` lists are drawn independently. Raises ValueError where the policy
    gives no probabilities."""
    slots = min(slots, len(arms))
    found = Drawn(np.zeros((times, slots), np.int64), np.zeros((times, slots)))
    _fill(found, 0, np.arange(times), np.arange(len(arms)), policy, arms, generator)
    return found


def _fill(
    found: Drawn,
    slot: int,
    lists: Positions,
    left: Positions,
    policy: Callable[[A], Floats],
    arms: A,
    generator: np.random.Generator,
) -> None:
    """Fills the slots from `slot` on of some lists, which have the same arms before it: all but those `left`."""
    if slot == found.arms.shape[1] or not len(lists):
        return
    chances = policy(arms if len(left) == len(arms) else arms.take(left))
    if chances.shape != left.shape or not (chances >= 0).all() or abs(chances.sum() - 1) > 1e-6:
        raise ValueError("the policy's probabilities are not one an arm, or do not sum to 1")
    chances = chances / chances.sum()
    drawn = generator.choice(len(left), len(lists), p=chances)
    found.arms[lists, slot], found.propensities[lists, slot] = left[drawn], chances[drawn]
    for at in np.unique(drawn).tolist():
        _fill(found, slot + 1, lists[drawn == at], np.delete(left, at), policy, arms, generator)


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
