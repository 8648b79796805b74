"""How popular an item is in each context, as decayed counts (operators/decay.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct

from operators.contexts import CONTEXTS
from operators.contract import CellAggregation, Field, Signal, Weights, World
from operators.decay import POPULARITY_ORIGIN, Numbers, weight_of

NEVER_THERE = -1e9
"""of a context in which nothing happened"""


class ContextPopularityState(Struct, array_like=True, gc=False):
    """The values, in the order of CONTEXTS."""

    logs: list[float]


@dataclass(frozen=True)
class ContextPopularity(CellAggregation[ContextPopularityState]):
    """log2 of the decayed, weighted number of events in each context, as of `POPULARITY_ORIGIN`, as `Popularity` is.

    An event adds to the context of its time and to that of its device, so that each of the two kinds of contexts is a
    division of all events. The state is kept as the logarithms themselves: only those of the event's contexts change.
    """

    name: str
    half_life: int
    weights: Weights
    contexts: tuple[str, ...] = CONTEXTS
    state: type[ContextPopularityState] = ContextPopularityState

    @property
    def fields(self) -> tuple[Field, ...]:
        doc = f"log2 decayed popularity as of 2020-01-01 by context: {', '.join(self.contexts)}"
        return (Field(self.name, "float32[]", [NEVER_THERE] * len(self.contexts), doc),)

    def count(self, popularity: Numbers, at: int) -> Numbers:
        """What is left at `at`, epoch ms, of the events behind values of any shape, as `Popularity.count`."""
        left: Numbers = np.exp2(popularity - (at - POPULARITY_ORIGIN) / self.half_life)
        return left

    def new(self) -> ContextPopularityState:
        return ContextPopularityState([NEVER_THERE] * len(self.contexts))

    def update(self, state: ContextPopularityState, signal: Signal, world: World) -> None:
        if not signal.contexts:
            return
        weight = weight_of(self.weights, signal)
        if weight <= 0:
            return
        gain = math.log2(weight) + (signal.timestamp - POPULARITY_ORIGIN) / self.half_life
        logs = state.logs
        for place in signal.contexts:
            before = logs[place]
            low, high = (before, gain) if before < gain else (gain, before)
            logs[place] = high + math.log2(1.0 + 2.0 ** (low - high))

    def values(self, state: ContextPopularityState, at: int) -> tuple[Any, ...]:
        return (state.logs.copy(),)

    def due(self, state: ContextPopularityState, at: int) -> int | None:
        return None
