"""What bandit policies learn from: how often each arm was shown in an exploration slot, and taken.

    impression, click ─► Attribution, of the person ─► SHOWN, TAKEN for the item ─► Explored: counts of the item
                                                   └─► SHOWN_IN, TAKEN_IN for the policy's key ─► LinearModel: A and b

An arm is an item in an exploration slot; pictures of an item are arms as well, counted in operators/picture_counts.py.
SHOWN is sent with the impression, TAKEN with the first of its interactions that counts; both have the time of the
impression, so that they decay alike, and an arm is never taken more often than it is shown. Sums decay forward (Cormode
et al., ICDE 2009, as in operators/decay.py): neither the order of arrival nor the passage of time matters.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from operators.contract import CellAggregation, Field, Signal, World
from operators.cooccurrence import OF_BASKETS
from operators.decay import POPULARITY_ORIGIN, REBASE_AFTER
from operators.picture_counts import OF_PICTURES, PICTURE_SHOWN, PICTURE_TAKEN
from operators.picture_counts import UNKNOWN as UNKNOWN
from schemas.events import FLOAT_BYTES, MAX_CONTEXT, Impression

SHOWN, TAKEN = "arm_shown", "arm_taken"
"""event types of the signals for an item"""
SHOWN_IN, TAKEN_IN = "context_shown", "context_taken"
"""event types of the signals for a linear model"""
OF_ARMS = frozenset({SHOWN, TAKEN}) | OF_PICTURES
OF_CONTEXTS = frozenset({SHOWN_IN, TAKEN_IN})
NO_INTERACTIONS = OF_BASKETS | OF_ARMS | OF_CONTEXTS
"""event types of signals that come of interactions and impressions and are none themselves"""
REWARDED = frozenset({"click", "play", "add_to_cart", "purchase", "like", "share"})
"""event types of interactions that count as taken"""
LIVES = 10
"""half-lives after which a linear model that nothing was shown by has ended: a thousandth of it would be left"""
_POLICY = "\x01policy:"
"""beginning of the keys of linear models: no item id has a control character"""


def policy_name(surface: str, context_id: str, width: int) -> str:
    """The name of the linear model of a surface in contexts of `width` numbers, which `context_id` names:
    `surface/context_id/width`. Contexts of another width are of another model, whoever logged them. A slash in
    `context_id` is escaped as in URLs, so that no two models share a name."""
    return f"{surface}/{context_id.replace('%', '%25').replace('/', '%2F')}/{width}"


def policy_key(policy: str) -> str:
    """The key of the item operator at which the model of this name is kept."""
    return _POLICY + policy


def policy_of(key: str) -> str | None:
    """The name of the model that is kept at a key of the item operator; None for the key of an item."""
    return key.removeprefix(_POLICY) if key.startswith(_POLICY) else None


def signals_of(shown: Impression, position: int, taken: bool) -> Iterator[Signal]:
    """The signals of one position of an impression that was shown, or taken; none where no policy chose anything
    there."""
    at, item_id = shown.timestamp, shown.items[position]
    image = shown.images[position] if shown.images is not None else None
    if image is not None:
        kind = PICTURE_TAKEN if taken else PICTURE_SHOWN
        yield Signal(kind, at, item_id, partners=(shown.segment or "", image))
    explored = shown.explored or []
    if position not in explored:
        return
    yield Signal(TAKEN if taken else SHOWN, at, item_id)
    if shown.contexts is not None and shown.context_id is not None:
        width = len(shown.contexts) // len(explored) // FLOAT_BYTES
        start = explored.index(position) * width * FLOAT_BYTES
        context = struct.unpack_from(f"<{width}f", shown.contexts, start)
        key = policy_key(policy_name(shown.surface, shown.context_id, width))
        yield Signal(TAKEN_IN if taken else SHOWN_IN, at, key, context=context)


class ExploredState(Struct, array_like=True, gc=False):
    """Decayed counts relative to `origin`: shown in slots, and taken there."""

    origin: int
    shown: float
    taken: float


@dataclass(frozen=True)
class Explored(CellAggregation[ExploredState]):
    """How often an item was shown in exploration slots and taken there.

    Counts are logarithms at one instant, as the popularity of an item is.
    """

    half_life: int
    state: type[ExploredState] = ExploredState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("shown", "float64", UNKNOWN, "log2 decayed number of times shown in a slot, as of 2020-01-01"),
            Field("taken", "float64", UNKNOWN, "log2 decayed number of these times that it was taken"),
        )

    def new(self) -> ExploredState:
        return ExploredState(0, 0.0, 0.0)

    def update(self, state: ExploredState, signal: Signal, world: World) -> None:
        if signal.event_type not in (SHOWN, TAKEN):
            return
        if not (state.shown or state.taken):
            state.origin = signal.timestamp
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            factor = 2.0**-age
            state.shown, state.taken = state.shown * factor, state.taken * factor
            state.origin, age = signal.timestamp, 0.0
        if signal.event_type == TAKEN:
            state.taken += 2.0**age
        else:
            state.shown += 2.0**age

    def values(self, state: ExploredState, at: int) -> tuple[Any, ...]:
        since = (state.origin - POPULARITY_ORIGIN) / self.half_life
        return (
            math.log2(state.shown) + since if state.shown else UNKNOWN,
            math.log2(state.taken) + since if state.taken else UNKNOWN,
        )

    def due(self, state: ExploredState, at: int) -> int | None:
        return None


class LinearModelState(Struct, array_like=True, gc=False):
    """Sums relative to `origin`: of x x', row by row, and of reward * x."""

    origin: int
    latest: int
    shown: float
    gram: list[float]
    response: list[float]


@dataclass(frozen=True)
class LinearModel(CellAggregation[LinearModelState]):
    """The decayed sums of a linear contextual bandit (Li et al., WWW 2010): A - I = sum of x x', b = sum of reward * x,
    over what was shown in the slots of one surface. d (d + 1) numbers for contexts of d: MAX_CONTEXT at most.

    All contexts of a model have the same length, which is part of its name; one of another length is ignored.

    A model ends LIVES half-lives after something was last shown by it, as those do that no surface declares any more:
    its row then has no numbers, and what is shown later is of a new one.
    """

    half_life: int
    state: type[LinearModelState] = LinearModelState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("as_of", "int64", 0, "time as of which the sums are decayed, epoch ms"),
            Field("shown", "float32", 0.0, "decayed number of times shown"),
            Field("gram", "float32[]", [], "decayed sum of x x', row by row"),
            Field("response", "float32[]", [], "decayed sum of reward * x"),
        )

    def new(self) -> LinearModelState:
        return LinearModelState(0, 0, 0.0, [], [])

    def update(self, state: LinearModelState, signal: Signal, world: World) -> None:
        x = signal.context
        d = len(x)
        if signal.event_type not in OF_CONTEXTS or not 0 < d <= MAX_CONTEXT:
            return
        if state.latest and self.over(state, signal.timestamp):
            state.origin = state.latest = 0
            state.shown, state.gram, state.response = 0.0, [], []
        if not state.response:
            state.origin = state.latest = signal.timestamp
            state.gram, state.response = [0.0] * (d * d), [0.0] * d
        if d != len(state.response):
            return
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            factor = 2.0**-age
            state.shown *= factor
            state.gram = [value * factor for value in state.gram]
            state.response = [value * factor for value in state.response]
            state.origin, age = signal.timestamp, 0.0
        state.latest = max(state.latest, signal.timestamp)
        gain = 2.0**age
        if signal.event_type == TAKEN_IN:
            state.response = [b + gain * value for b, value in zip(state.response, x, strict=True)]
            return
        state.shown += gain
        products = (one * other for one in x for other in x)
        state.gram = [a + gain * product for a, product in zip(state.gram, products, strict=True)]

    def values(self, state: LinearModelState, at: int) -> tuple[Any, ...]:
        if self.over(state, at):
            return (0, 0.0, [], [])
        factor = 2.0 ** ((state.origin - state.latest) / self.half_life)
        return (
            state.latest,
            state.shown * factor,
            [value * factor for value in state.gram],
            [value * factor for value in state.response],
        )

    def due(self, state: LinearModelState, at: int) -> int | None:
        end = state.latest + LIVES * self.half_life
        return end if state.latest and end > at else None

    def over(self, state: LinearModelState, at: int) -> bool:
        """Whether the model has ended by `at`, epoch ms; one that nothing was shown by yet has."""
        return not state.latest or at >= state.latest + LIVES * self.half_life
