"""The user vector: a decayed, event-weighted sum over item vectors, updated at each event."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from operators.contract import CellAggregation, Cells, Field, Signal, Space, Weights, World
from operators.decay import REBASE_AFTER, weight_of
from schemas.errors import StateError

EMPTY = b""
COMPACT_AFTER = 8
"""interactions since the last ones were encoded, from which on they are encoded anew"""
SUM, RECENT, LATER = "vector_sum", "vector_recent", "vector_later"

Entry = tuple[int, str, float]


class VectorHead(Struct, array_like=True, gc=False):
    """The state but for the sum and the last interactions. A row has the sum as its unit vector, in float32, and the
    sum's `length`; and the last interactions as `Recent` has them."""

    space: str
    origin: int
    length: float


class VectorState(Struct, array_like=True, gc=False):
    """Sum (dim,) float64 as bytes, relative to `origin` as in operators/decay.py; and the last
    (time, item, weight), from which a new space's sum is made."""

    space: str
    origin: int
    sum: bytes
    recent: list[Entry]
    later: int = 0
    """of those, the last so many are not in `encoded`"""
    encoded: bytes = EMPTY
    length: float = -1.0
    """of the sum; below 0 where that has changed since"""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VectorState) and all(
            getattr(self, name) == getattr(other, name) for name in ("space", "origin", "sum", "recent")
        )


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Entry]).decode


@dataclass(frozen=True)
class UserVector(CellAggregation[VectorState]):
    """Where a person stands in the embedding space, as a unit vector with its space's id.

    v(t) = Σ w(event) · 2^((ts - t) / half_life) · item vector, scaled to length 1; the length
    carries no meaning, so the value holds between events. Dislikes push away. When the bundle brings
    a new space, the next event starts a new sum from the last `k` interactions.
    """

    half_life: int
    weights: Weights
    k: int = 50
    state: type[VectorState] = VectorState
    head: type[VectorHead] = VectorHead
    fields: tuple[Field, ...] = field(
        init=False,
        default=(
            Field("vector", "float32[]", [], "unit vector in the embedding space"),
            Field("vector_space", "string", "", "id of that space"),
        ),
    )

    def new(self) -> VectorState:
        return VectorState("", 0, EMPTY, [])

    def update(self, state: VectorState, signal: Signal, world: World) -> None:
        weight = weight_of(self.weights, signal)
        if not weight or not signal.item_id:
            return
        space = world.space  # once: another thread may put a new one in force meanwhile
        self._embed(state, space)
        state.recent.append((signal.timestamp, signal.item_id, weight))
        if state.later < self.k:
            state.later += 1
        if len(state.recent) > self.k:
            del state.recent[: -self.k]
        self._add(state, signal.timestamp, signal.item_id, weight, space)

    def split(self, state: VectorState) -> tuple[VectorHead, Cells]:
        if state.later > COMPACT_AFTER:
            state.encoded, state.later = _pack(state.recent), 0
        later = _pack(state.recent[-state.later :]) if state.later else EMPTY
        head = VectorHead(state.space, state.origin, _length(state))
        return head, {SUM: state.sum, RECENT: state.encoded, LATER: later}

    def join(self, head: VectorHead, cells: Cells) -> VectorState:
        encoded, latest, total = (cells.get(name, EMPTY) for name in (RECENT, LATER, SUM))
        try:
            recent, later = (_unpack(each) if each else [] for each in (encoded, latest))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{RECENT}: {error}") from None
        if len(total) % 8:
            raise StateError(f"{SUM}: {len(total)} bytes are not float64s")
        return VectorState(head.space, head.origin, total, [*recent, *later][-self.k :], len(later), encoded)

    def of_row(self, head: VectorHead, row: Mapping[str, Any]) -> VectorState:
        total = np.asarray(row["vector"], np.float64) * head.length
        taken = zip(row["recent_times"], row["recent_items"], row["recent_tastes"], strict=True)
        recent = [entry for entry in taken if entry[2]][: self.k][::-1]
        return VectorState(head.space, head.origin, total.tobytes(), recent)

    def embed(self, state: VectorState, world: World) -> None:
        """Starts the sum anew from the last interactions where the space has changed."""
        self._embed(state, world.space)

    def _embed(self, state: VectorState, space: Space) -> None:
        if state.space == space.id:
            return
        state.space, state.origin, state.sum, state.length = space.id, 0, EMPTY, -1.0
        for at, item_id, weight in state.recent:
            self._add(state, at, item_id, weight, space)

    def _add(self, state: VectorState, at: int, item_id: str, weight: float, space: Space) -> None:
        vector = space.vector(item_id)
        if vector is None:
            return
        state.length = -1.0
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
        length = _length(state)
        if length < 1e-12:
            return [], ""
        return (np.frombuffer(state.sum) / length).tolist(), state.space

    def due(self, state: VectorState, at: int) -> int | None:
        return None


def _length(state: VectorState) -> float:
    if state.length < 0:
        numbers = np.frombuffer(state.sum)
        state.length = math.sqrt(numbers @ numbers)
    return state.length
