"""Linear bandits with a model of each arm, which the simulation of bandits compares (training/bandits.py).

lin_ucb          disjoint linear models (Li, Chu, Langford, Schapire, WWW 2010, algorithm 1)
linear_thompson  the same models with Gaussian posteriors (Agrawal and Goyal, ICML 2013)

The policies of exploration slots have one model for all arms instead (recommend/policies.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommend.exploration import Floats, gaussian_thompson, largest


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

    def predicted(self, context: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation (k,) each of the reward in a context (d,), per unit of noise."""
        solved = np.linalg.solve(self.precision, np.broadcast_to(context[:, None], (*self.response.shape, 1)))[..., 0]
        return np.einsum("kd,kd->k", solved, self.response), np.sqrt(solved @ context)


def lin_ucb(arms: LinearArms, context: Floats, width: float = 1.0) -> Floats:
    """The arm with the largest predicted mean + width * standard deviation in the context (d,)."""
    mean, deviation = arms.predicted(context)
    return largest(mean + width * deviation)


def linear_thompson(arms: LinearArms, context: Floats, noise: float = 1.0) -> Floats:
    """The probability that each arm's reward in the context (d,) is the largest, rewards being independent Gaussians
    with the predicted means and noise * standard deviation."""
    mean, deviation = arms.predicted(context)
    return gaussian_thompson(mean, noise * deviation)
