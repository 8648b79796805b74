"""Exponentially decayed sums, by forward decay (Cormode et al., ICDE 2009).

An event at time ts adds w · 2^((ts - origin) / half_life) to a sum kept relative to `origin`; at
time t the decayed value is that sum · 2^((origin - t) / half_life). No sum ever needs touching as
time passes, and the order of arrival does not matter. The origin moves before numbers overflow.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from operators.contract import CellAggregation, Cells, Field, Signal, Weights, World
from operators.time import label
from schemas.errors import StateError

Numbers: TypeAlias = npt.NDArray[np.float64]
REBASE_AFTER = 64
"""half-lives between an event and the origin after which the sums move to a new origin"""

POPULARITY_ORIGIN = 1_577_836_800_000
"""2020-01-01: the instant to which every item's popularity is brought, so that they compare"""


COMPACT_AFTER = 12
"""names of changed sums from which on all sums are encoded anew: fewer than a cell of 200 would take"""


class AffinityHead(Struct, array_like=True, gc=False):
    """What has changed since the cell of all sums was encoded; None for a name that was dropped."""

    origin: int
    changed: dict[str, float | None]


class AffinitySharesState(Struct, array_like=True, gc=False):
    """Sums relative to the head's origin, by name, and the cell of those as of before `head.changed`."""

    head: AffinityHead
    sums: dict[str, float]
    base: bytes = b""
    ranked: list[tuple[float, str]] | None = None
    """(-sum, name) in order: the largest sum first; None where it has to be made from `sums`"""
    read: bool = False
    """whether `ranked` has been read since the last event"""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AffinitySharesState) and (self.head.origin, self.sums) == (
            other.head.origin,
            other.sums,
        )


_pack_sums = msgspec.msgpack.Encoder().encode
_unpack_sums = msgspec.msgpack.Decoder(dict[str, float]).decode


@dataclass(frozen=True)
class AffinityShares(CellAggregation[AffinitySharesState]):
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
    """names that stay in the state when there are a quarter more; the least loved are dropped"""
    state: type[AffinitySharesState] = AffinitySharesState
    head: type[AffinityHead] = AffinityHead

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field(self.name, "string[]", [], f"most loved {self.of}, best first"),
            Field(f"{self.name}_scores", "float32[]", [], "their signed shares of attention"),
        )

    @property
    def cells(self) -> tuple[Field, ...]:
        return (Field(f"state_{self.name}", "bytes", b"", "state: all sums, but for the latest changes"),)

    def new(self) -> AffinitySharesState:
        return AffinitySharesState(AffinityHead(0, {}), {})

    def split(self, state: AffinitySharesState) -> tuple[AffinityHead, Cells]:
        head = state.head
        if len(head.changed) > COMPACT_AFTER:
            state.base = _pack_sums(state.sums)
            head.changed = {}
        return head, {f"state_{self.name}": state.base}

    def join(self, head: AffinityHead, cells: Cells) -> AffinitySharesState:
        base = cells.get(f"state_{self.name}", b"")
        try:
            sums = _unpack_sums(base) if base else {}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.name}_sums: {error}") from None
        for name, value in head.changed.items():
            if value is None:
                sums.pop(name, None)
            else:
                sums[name] = value
        return AffinitySharesState(head, sums, base)

    def update(self, state: AffinitySharesState, signal: Signal, world: World) -> None:
        found: Any = getattr(signal, self.of)
        if not found:
            return
        weight = weight_of(self.weights, signal)
        if not weight:
            return
        names = (found,) if isinstance(found, str) else found
        head, sums = state.head, state.sums
        changed = head.changed
        if not sums:
            head.origin = signal.timestamp
        age = (signal.timestamp - head.origin) / self.half_life
        if age > REBASE_AFTER:
            factor = 2.0**-age
            for name in sums:
                sums[name] *= factor
            changed.update(sums)
            head.origin, age = signal.timestamp, 0.0
            state.ranked = None
        gain = weight / len(names) * 2.0**age
        if not state.read:  # in a backlog: sorting once for the next read takes less than keeping order at each event
            state.ranked = None
        state.read, ranked = False, state.ranked
        for name in names:
            before = sums.get(name)
            sums[name] = changed[name] = after = (before or 0.0) + gain
            if ranked is not None:  # one entry moves, which takes far less than sorting all sums
                if before is not None:
                    del ranked[bisect_left(ranked, (-before, name))]
                insort(ranked, (-after, name))
        if len(sums) > self.keep + self.keep // 4:  # rarely: it takes as long as the rest of an update
            for name in sorted(sums, key=lambda name: (abs(sums[name]), name))[: -self.keep]:
                del sums[name]
                changed[name] = None
            state.ranked = None

    def values(self, state: AffinitySharesState, at: int) -> tuple[Any, ...]:
        sums = state.sums
        total = math.fsum(map(abs, sums.values()))  # in any order the same: a restored state has another one
        if not total:
            return [], []
        if state.ranked is None:
            state.ranked = sorted((-value, name) for name, value in sums.items())
        state.read = True
        best = state.ranked[: self.top]
        return [name for _, name in best], [-value / total for value, _ in best]

    def due(self, state: AffinitySharesState, at: int) -> int | None:
        return None


class PopularityState(Struct, array_like=True, gc=False):
    """A sum relative to `origin`."""

    origin: int
    sum: float


@dataclass(frozen=True)
class Popularity(CellAggregation[PopularityState]):
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
        doc = f"log2 decayed popularity as of 2020-01-01, half-life {label(self.half_life)}"
        return (Field(self.name, "float64", -1e9, doc),)

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
    if weight and signal.rating is not None and signal.event_type == "rating":
        stars = (signal.rating - 2.5) / 2.5
        # Called several times an event; `min` and `max` take as long as all the rest.
        return weight * (1.0 if stars > 1.0 else -1.0 if stars < -1.0 else stars)
    return weight
