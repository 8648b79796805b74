"""Bandit policies as values that a surface declares: Thompson(), EpsilonGreedy(epsilon=0.1), LinUcb(width=0.5).

Each is one of the functions of recommend/exploration.py over what the stream has counted of the arms, mixed with
`floor` of the uniform policy, so that every arm keeps a propensity from which other policies can be estimated.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from feature_repo.arms import LinearSums
from recommend import exploration
from recommend.exploration import ArmCounts, Floats


class KnownArms(NamedTuple):
    """What is known of k arms: counts, and for a policy that reads contexts these, (k, d), and the model of them."""

    counts: ArmCounts
    contexts: Floats | None = None
    model: LinearSums | None = None


@dataclass(frozen=True, kw_only=True)
class SlotPolicy(ABC):
    """The probability of each arm to be chosen."""

    reads_context: ClassVar[bool] = False
    floor: float = 0.05
    """share of the uniform policy in it"""

    def __post_init__(self) -> None:
        """Raises ValueError where the floor is not from 0 to 1; a policy's own numbers are checked as well."""
        _check("floor", self.floor, most=1)

    @abstractmethod
    def unmixed(self, arms: KnownArms) -> Floats:
        """The policy's own probabilities (k,)."""

    def chances(self, arms: KnownArms) -> Floats:
        """The probabilities (k,), which sum to 1. Raises ValueError where the policy's own are none."""
        found = self.unmixed(arms)
        if found.shape != (len(arms.counts),) or not (found >= 0).all() or abs(found.sum() - 1) > 1e-6:
            raise ValueError("the policy's probabilities are not one an arm, or do not sum to 1")
        return exploration.floored(found / found.sum(), self.floor)


@dataclass(frozen=True, kw_only=True)
class Uniform(SlotPolicy):
    """Every arm alike."""

    def unmixed(self, arms: KnownArms) -> Floats:
        return np.full(len(arms.counts), 1 / len(arms.counts))


@dataclass(frozen=True, kw_only=True)
class EpsilonGreedy(SlotPolicy):
    """The arm with the largest rate, another one with probability epsilon."""

    epsilon: float = 0.1
    floor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("epsilon", self.epsilon, most=1)

    def unmixed(self, arms: KnownArms) -> Floats:
        return exploration.epsilon_greedy(arms.counts, self.epsilon)


@dataclass(frozen=True, kw_only=True)
class Ucb1(SlotPolicy):
    """The arm with the largest upper bound of its rate."""

    width: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("width", self.width)

    def unmixed(self, arms: KnownArms) -> Floats:
        return exploration.ucb1(arms.counts, self.width)


@dataclass(frozen=True, kw_only=True)
class Thompson(SlotPolicy):
    """Each arm as often as its rate is the largest, by Beta posteriors."""

    prior: tuple[float, float] = (1.0, 20.0)
    """taken, and shown without being taken, before anything is counted; 1 each at least"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.prior) != 2:
            raise ValueError(f"prior is {self.prior}; it is two numbers")
        for number in self.prior:
            _check("prior", number, least=1)

    def unmixed(self, arms: KnownArms) -> Floats:
        return exploration.thompson(arms.counts, self.prior)


@dataclass(frozen=True, kw_only=True)
class _Linear(SlotPolicy):
    """One ridge regression of rewards on contexts, which all arms share: what is learned of one says something of the
    others."""

    reads_context: ClassVar[bool] = True

    def _predicted(self, arms: KnownArms) -> tuple[Floats, Floats]:
        """Mean and standard deviation (k,) of the reward of each arm, per unit of noise."""
        assert arms.contexts is not None
        d = arms.contexts.shape[1]
        gram, response = arms.model or LinearSums(np.zeros((d, d)), np.zeros(d))
        solved = np.linalg.solve(np.eye(d) + gram, arms.contexts.T)
        return response @ solved, np.sqrt(np.einsum("kd,dk->k", arms.contexts, solved))


@dataclass(frozen=True, kw_only=True)
class LinUcb(_Linear):
    """The arm with the largest predicted reward + width * standard deviation (Li et al., WWW 2010)."""

    width: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("width", self.width)

    def unmixed(self, arms: KnownArms) -> Floats:
        mean, deviation = self._predicted(arms)
        return exploration.largest(mean + self.width * deviation)


@dataclass(frozen=True, kw_only=True)
class LinearThompson(_Linear):
    """Each arm as often as its reward is the largest, rewards being independent Gaussians with the predicted means and
    noise * standard deviation."""

    noise: float = 0.3
    """above 0"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("noise", self.noise, least=1e-6)

    def unmixed(self, arms: KnownArms) -> Floats:
        mean, deviation = self._predicted(arms)
        return exploration.gaussian_thompson(mean, self.noise * np.maximum(deviation, 1e-9))


def _check(name: str, number: float, least: float = 0, most: float = math.inf) -> None:
    """Raises ValueError where a number of a policy is not finite, or not from `least` to `most`."""
    if not (least <= number <= most and math.isfinite(number)):
        bounds = f"from {least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more, and finite"
        raise ValueError(f"{name} is {number}; it is {bounds}")
