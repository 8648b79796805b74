"""Exponentially decayed sums, by forward decay (Cormode et al., ICDE 2009).

An event at time ts adds w · 2^((ts - origin) / half_life) to a sum kept relative to `origin`; at
time t the decayed value is that sum · 2^((origin - t) / half_life). No sum ever needs touching as
time passes, and the order of arrival does not matter. The origin moves before numbers overflow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from operators.contract import Field, Signal, Weights, World

Numbers: TypeAlias = npt.NDArray[np.float64]
REBASE_AFTER = 64
"""half-lives between an event and the origin after which the sums move to a new origin"""

POPULARITY_ORIGIN = 1_577_836_800_000
"""2020-01-01: the instant to which every item's popularity is brought, so that they compare"""


class AffinitySharesState(Struct, array_like=True, gc=False):
    """Sums relative to `origin`, by name."""

    origin: int
    sums: dict[str, float]


@dataclass(frozen=True)
class AffinityShares:
    """What share of a person's decayed, weighted attention each category (or brand) has.

    Scores are signed shares of the total absolute attention, largest first; a dislike counts
    against. As everything decays alike, shares hold between events: no timer is needed.
    """

    name: str
    of: str
    """the signal's field: "categories" or "brand" """
    half_life: int
    weights: Weights
    top: int = 20
    keep: int = 200
    """names kept in state; the least loved is dropped first"""
    state: type[AffinitySharesState] = AffinitySharesState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field(self.name, "string[]", [], f"most loved {self.of}, best first"),
            Field(f"{self.name}_scores", "float32[]", [], "their signed shares of attention"),
        )

    def new(self) -> AffinitySharesState:
        return AffinitySharesState(0, {})

    def update(self, state: AffinitySharesState, signal: Signal, world: World) -> None:
        found: Any = getattr(signal, self.of)
        if not found:
            return
        weight = weight_of(self.weights, signal)
        if not weight:
            return
        names = (found,) if isinstance(found, str) else found
        sums = state.sums
        if not sums:
            state.origin = signal.timestamp
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            factor = 2.0**-age
            for name in sums:
                sums[name] *= factor
            state.origin, age = signal.timestamp, 0.0
        gain = weight / len(names) * 2.0**age
        for name in names:
            sums[name] = sums.get(name, 0.0) + gain
        while len(sums) > self.keep:
            del sums[min(sums, key=lambda name: abs(sums[name]))]

    def values(self, state: AffinitySharesState, at: int) -> tuple[Any, ...]:
        total = sum(map(abs, state.sums.values()))
        if not total:
            return [], []
        best = sorted(state.sums.items(), key=lambda pair: (-pair[1], pair[0]))[: self.top]
        return [name for name, _ in best], [value / total for _, value in best]

    def due(self, state: AffinitySharesState, at: int) -> int | None:
        return None


class PopularityState(Struct, array_like=True, gc=False):
    """A sum relative to `origin`."""

    origin: int
    sum: float


@dataclass(frozen=True)
class Popularity:
    """log2 of the decayed, weighted number of events, as of `POPULARITY_ORIGIN`.

    As a logarithm at one common instant it neither under- nor overflows for logs of any age,
    compares between items without re-reading the clock, and never goes stale: `count` gives the
    decayed count at t, 2^(popularity - (t - POPULARITY_ORIGIN) / half_life).
    """

    name: str
    half_life: int
    weights: Weights
    state: type[PopularityState] = PopularityState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (Field(self.name, "float64", -1e9, "log2 decayed popularity as of 2020-01-01"),)

    def count(self, popularity: Numbers, at: int) -> Numbers:
        """What is left at `at`, epoch ms, of the events behind popularities of any shape: 3.5 for three clicks of now
        and one of a half-life ago, where a click weighs 1."""
        left: Numbers = np.exp2(popularity - (at - POPULARITY_ORIGIN) / self.half_life)
        return left

    def new(self) -> PopularityState:
        return PopularityState(0, 0.0)

    def update(self, state: PopularityState, signal: Signal, world: World) -> None:
        weight = weight_of(self.weights, signal)
        if weight <= 0:
            return
        if not state.sum:
            state.origin = signal.timestamp
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            state.sum *= 2.0**-age
            state.origin, age = signal.timestamp, 0.0
        state.sum += weight * 2.0**age

    def values(self, state: PopularityState, at: int) -> tuple[Any, ...]:
        if not state.sum:
            return (-1e9,)
        return (math.log2(state.sum) + (state.origin - POPULARITY_ORIGIN) / self.half_life,)

    def due(self, state: PopularityState, at: int) -> int | None:
        return None


def weight_of(weights: Weights, signal: Signal) -> float:
    """The weight of the signal's type; a rating's is scaled from -1 (no star) over 0 (2.5) to 1 (5 stars)."""
    weight = weights.get(signal.event_type, 0.0)
    if weight and signal.event_type == "rating" and signal.rating is not None:
        return weight * max(-1.0, min(1.0, (signal.rating - 2.5) / 2.5))
    return weight
