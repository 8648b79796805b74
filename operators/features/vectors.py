"""Vectors of entities in the embedding space of items."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from operators.contract import Field, Signal, Weights, World
from operators.features.expressions import TYPES_OF_EVENTS, Expression, nearest
from operators.features.feature import TEXT_BYTES, Feature
from operators.features.monoid import Take
from operators.features.scopes import Decay
from operators.vector import UserVector, VectorState
from schemas.errors import FeatureError

LONGEST_DIM = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class Vector(Feature):
    """The decayed sum of the vectors of items, each event weighing `weights[event_type]`, as a unit vector:
    float32[]; and `<name>_space`, the id of its embedding space. The sum and its restart in a new space, from the
    last `k` events, are those of operators/vector.py; `window` is a Decay.
    """

    weights: Weights
    k: int = 50
    _sum: UserVector = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.scope, Decay):
            raise FeatureError(f"{self.name}: a vector is a decayed sum; give it window=Decay(half_life)")
        if not 1 <= self.k <= 1000:
            raise FeatureError(f"{self.name}: the last {self.k} events; from 1 to 1,000 are possible")
        for name in self.weights:
            if name not in TYPES_OF_EVENTS:
                raise FeatureError(f"{self.name}: there is no event_type {name!r}{nearest(name, TYPES_OF_EVENTS)}")
            if self.events.decide(name) is False:
                raise FeatureError(
                    f"{self.name}: {name} has a weight, and the filter {self.events} lets none in; widen `events` "
                    "(events=EVERYTHING lets in all that people do and are shown), or take the weight out"
                )
        self._set("_sum", UserVector(self.scope.half_life, self.weights, self.k))

    def layout(self) -> tuple[Any, ...]:
        return sorted(self.weights.items()), self.k

    def value(self) -> Expression:
        return Expression("event", "text", lambda s: s)

    @property
    def state(self) -> Any:
        return VectorState

    @property
    def fields(self) -> tuple[Field, ...]:
        vector, space = self._sum.fields
        return (
            Field(self.name, vector.dtype, [], self.doc or vector.doc),
            Field(f"{self.name}_space", space.dtype, "", space.doc),
        )

    def new(self) -> VectorState:
        return self._sum.new()

    def taker(self, world: World) -> Take:
        add = self._sum.update

        def take(state: VectorState, value: Any, signal: Signal) -> None:
            add(state, signal, world)

        return take

    def read(self, state: VectorState, at: int) -> VectorState:
        return state

    def finalize(self, acc: VectorState, at: int) -> tuple[Any, ...]:
        return self._sum.values(acc, at)

    def due(self, state: VectorState, at: int) -> int | None:
        return None

    def state_bytes(self, text: int = TEXT_BYTES) -> int:
        return 48 + 8 * LONGEST_DIM + self.k * (text + 21)
