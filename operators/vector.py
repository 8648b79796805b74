"""The user vector: a decayed, event-weighted sum over item vectors, updated at each event."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct

from operators.contract import Field, Signal, Weights, World
from operators.decay import REBASE_AFTER, weight_of

EMPTY_SUM = b""


class VectorState(Struct, array_like=True, gc=False):
    """Sum (dim,) float64 as bytes, relative to `origin` as in operators/decay.py; and the last
    (time, item, weight), from which a new space's sum is made."""

    space: str
    origin: int
    sum: bytes
    recent: list[tuple[int, str, float]]


@dataclass(frozen=True)
class UserVector:
    """Where a person stands in the embedding space, as a unit vector with its space's id.

    v(t) = Σ w(event) · 2^((ts - t) / half_life) · item vector, scaled to length 1; the length
    carries no meaning, so the value holds between events. Dislikes push away. When the bundle brings
    a new space, the next event starts a new sum from the last `k` interactions.
    """

    half_life: int
    weights: Weights
    k: int = 50
    state: type[VectorState] = VectorState
    fields: tuple[Field, ...] = field(
        init=False,
        default=(
            Field("vector", "float32[]", [], "unit vector in the embedding space"),
            Field("vector_space", "string", "", "id of that space"),
        ),
    )

    def new(self) -> VectorState:
        return VectorState("", 0, EMPTY_SUM, [])

    def update(self, state: VectorState, signal: Signal, world: World) -> None:
        weight = weight_of(self.weights, signal)
        if not weight or not signal.item_id:
            return
        self.embed(state, world)
        state.recent.append((signal.timestamp, signal.item_id, weight))
        del state.recent[: -self.k]
        self._add(state, signal.timestamp, signal.item_id, weight, world)

    def embed(self, state: VectorState, world: World) -> None:
        """Starts the sum anew from the last interactions where the space has changed."""
        if state.space == world.space.id:
            return
        state.space, state.origin, state.sum = world.space.id, 0, EMPTY_SUM
        for at, item_id, weight in state.recent:
            self._add(state, at, item_id, weight, world)

    def _add(self, state: VectorState, at: int, item_id: str, weight: float, world: World) -> None:
        vector = world.space.vector(item_id)
        if vector is None:
            return
        if not state.sum:
            state.origin = at
            state.sum = (weight * vector.astype(np.float64)).tobytes()
            return
        total = np.frombuffer(state.sum)
        age = (at - state.origin) / self.half_life
        if age > REBASE_AFTER:
            total = total * 2.0**-age
            state.origin, age = at, 0.0
        state.sum = (total + vector * np.float64(weight * 2.0**age)).tobytes()  # else in float32

    def values(self, state: VectorState, at: int) -> tuple[Any, ...]:
        if not state.sum:
            return [], ""
        total = np.frombuffer(state.sum)
        length = float(np.sqrt(total @ total))
        if length < 1e-12:
            return [], ""
        return (total / length).tolist(), state.space

    def due(self, state: VectorState, at: int) -> int | None:
        return None
