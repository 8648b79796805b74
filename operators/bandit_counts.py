"""What bandit policies learn from: how often each arm was shown in an exploration slot, and taken.

    impression, click ─► Attribution, of the person ─► SHOWN, TAKEN for the item ─► Explored: counts of the item
                                                   └─► SHOWN_IN, TAKEN_IN for the policy's key ─► LinearModel: A and b

An arm is an item in an exploration slot, or one of the pictures of an item. SHOWN is sent with the impression, TAKEN
with the first of its interactions that counts; both have the time of the impression, so that they decay alike, and an
arm is never taken more often than it is shown. Sums decay forward (Cormode et al., ICDE 2009, as in
operators/decay.py): neither the order of arrival nor the passage of time matters.
"""

from __future__ import annotations

import heapq
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from operators.contract import CellAggregation, Field, Signal, World
from operators.cooccurrence import OF_BASKETS
from operators.decay import POPULARITY_ORIGIN, REBASE_AFTER
from schemas.events import FLOAT_BYTES, MAX_CONTEXT, Impression

SHOWN, TAKEN = "arm_shown", "arm_taken"
"""event types of the signals for an item"""
SHOWN_IN, TAKEN_IN = "context_shown", "context_taken"
"""event types of the signals for a linear model"""
OF_ARMS = frozenset({SHOWN, TAKEN})
OF_CONTEXTS = frozenset({SHOWN_IN, TAKEN_IN})
NO_INTERACTIONS = OF_BASKETS | OF_ARMS | OF_CONTEXTS
"""event types of signals that come of interactions and impressions and are none themselves"""
REWARDED = frozenset({"click", "play", "add_to_cart", "purchase", "like", "share"})
"""event types of interactions that count as taken"""
POLICY = "\x01policy:"
"""beginning of the keys of linear models: no item id has a control character"""
UNKNOWN = -1e9
"""log2 of a count of nothing"""


def policy_key(surface: str, context_id: str) -> str:
    """The key of the linear model of a surface in contexts with these columns."""
    return f"{POLICY}{surface}/{context_id}"


def signals_of(shown: Impression, position: int, taken: bool) -> Iterator[Signal]:
    """The signals of one position of an impression that was shown, or taken; none where no policy chose anything
    there."""
    explored = shown.explored or ()
    image = shown.images[position] if shown.images is not None else None
    if position not in explored and image is None:
        return
    picture = () if image is None else (shown.segment or "", image)
    kind = (TAKEN if taken else SHOWN) if position in explored else ""
    # `region` says whether the item itself was an arm, `partners` which picture was shown to which segment.
    yield Signal(TAKEN if taken else SHOWN, shown.timestamp, shown.items[position], "slot" if kind else "", picture)
    if kind and shown.contexts is not None and shown.context_id is not None:
        width = len(shown.contexts) // len(explored)
        start = list(explored).index(position) * width
        context = struct.unpack_from(f"<{width // FLOAT_BYTES}f", shown.contexts, start)
        if all(map(math.isfinite, context)):
            key = policy_key(shown.surface, shown.context_id)
            yield Signal(TAKEN_IN if taken else SHOWN_IN, shown.timestamp, key, context=context)


class ExploredState(Struct, array_like=True, gc=False):
    """Decayed counts relative to `origin`: shown and taken in slots, and of each picture by segment and picture."""

    origin: int
    shown: float
    taken: float
    pictures: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Explored(CellAggregation[ExploredState]):
    """How often an item was shown in exploration slots and taken there, and each of its pictures in each segment.

    Counts are logarithms at one instant, as the popularity of an item is; those of pictures are in proportion to
    `pictures_total`, since everything of an item decays alike.
    """

    half_life: int
    keep: int = 64
    """pairs of a segment and a picture that stay in the state when there are a quarter more; those that were shown
    least are dropped"""
    state: type[ExploredState] = ExploredState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("shown", "float64", UNKNOWN, "log2 decayed number of times shown in a slot, as of 2020-01-01"),
            Field("taken", "float64", UNKNOWN, "log2 decayed number of these times that it was taken"),
            Field("pictures_total", "float64", UNKNOWN, "log2 of what the counts of pictures are in units of"),
            Field("pictures", "string[]", [], "segment, NUL, picture"),
            Field("pictures_shown", "float32[]", [], "how often each was shown"),
            Field("pictures_taken", "float32[]", [], "how often it was then taken"),
        )

    def new(self) -> ExploredState:
        return ExploredState(0, 0.0, 0.0, {})

    def update(self, state: ExploredState, signal: Signal, world: World) -> None:
        if signal.event_type not in OF_ARMS:
            return
        if not (state.shown or state.taken or state.pictures):
            state.origin = signal.timestamp
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            factor = 2.0**-age
            state.shown, state.taken = state.shown * factor, state.taken * factor
            state.pictures = {name: (s * factor, t * factor) for name, (s, t) in state.pictures.items()}
            state.origin, age = signal.timestamp, 0.0
        gain, taken = 2.0**age, signal.event_type == TAKEN
        if signal.region:
            if taken:
                state.taken += gain
            else:
                state.shown += gain
        if signal.partners:
            name = "\0".join(signal.partners)
            if taken and name not in state.pictures:  # dropped since it was shown
                return
            was_shown, was_taken = state.pictures.get(name, (0.0, 0.0))
            state.pictures[name] = (was_shown, was_taken + gain) if taken else (was_shown + gain, was_taken)
            if len(state.pictures) > self.keep + self.keep // 4:
                for least in sorted(state.pictures, key=lambda each: (state.pictures[each], each))[: -self.keep]:
                    del state.pictures[least]

    def values(self, state: ExploredState, at: int) -> tuple[Any, ...]:
        since = (state.origin - POPULARITY_ORIGIN) / self.half_life
        pictures = heapq.nsmallest(self.keep, ((-shown, name) for name, (shown, _) in state.pictures.items()))
        total = max((-shown for shown, _ in pictures), default=0.0)
        unit = total or 1.0
        names = [name for _, name in pictures]
        return (
            math.log2(state.shown) + since if state.shown else UNKNOWN,
            math.log2(state.taken) + since if state.taken else UNKNOWN,
            math.log2(total) + since if total else UNKNOWN,
            names,
            [state.pictures[name][0] / unit for name in names],
            [state.pictures[name][1] / unit for name in names],
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

    A context of another length than the ones before it begins a new model.
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
        taken = signal.event_type == TAKEN_IN
        if d != len(state.response):
            if taken:  # shown under the model before this one
                return
            state.origin, state.latest, state.shown = signal.timestamp, signal.timestamp, 0.0
            state.gram, state.response = [0.0] * (d * d), [0.0] * d
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            factor = 2.0**-age
            state.shown *= factor
            state.gram = [value * factor for value in state.gram]
            state.response = [value * factor for value in state.response]
            state.origin, age = signal.timestamp, 0.0
        state.latest = max(state.latest, signal.timestamp)
        gain = 2.0**age
        if taken:
            state.response = [b + gain * value for b, value in zip(state.response, x, strict=True)]
            return
        state.shown += gain
        products = (one * other for one in x for other in x)
        state.gram = [a + gain * product for a, product in zip(state.gram, products, strict=True)]

    def values(self, state: LinearModelState, at: int) -> tuple[Any, ...]:
        factor = 2.0 ** ((state.origin - state.latest) / self.half_life)
        return (
            state.latest,
            state.shown * factor,
            [value * factor for value in state.gram],
            [value * factor for value in state.response],
        )

    def due(self, state: LinearModelState, at: int) -> int | None:
        return None
