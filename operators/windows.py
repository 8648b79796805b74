"""Counts and ratios over sliding windows, as tiles that are added up.

A window of length W has W / tile tiles, the current one included; a value at time t adds up the tiles of indices above
floor(t / tile) - W / tile. The window therefore slides in steps of a tile, and `due` is when its oldest tile leaves it,
so that a timer can write the new value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from msgspec import Struct

from operators.contract import Field, Signal, World
from operators.time import DAY, HOUR, MINUTE, SECOND, label

TILES = ((5 * MINUTE, 15 * SECOND), (HOUR, MINUTE), (DAY, 30 * MINUTE), (7 * DAY, 4 * HOUR))


def tile_of(window: int) -> int:
    """Length of a window's tiles, ms: the step in which it slides."""
    for longest, tile in TILES:
        if window <= longest:
            return tile
    return DAY


@dataclass(frozen=True, slots=True)
class Ratio:
    """(top + prior[0]) / (bottom + prior[1]): a ratio of counts smoothed towards prior[0] / prior[1]."""

    name: str
    top: str
    bottom: str
    prior: tuple[float, float]


class CountsState(Struct, array_like=True, gc=False):
    """For each window: counts by tile index · number of types + type's position, and the newest tile's index."""

    windows: list[dict[int, int]]
    newest: list[int]


@dataclass(frozen=True)
class Counts:
    """Events by type over each window: int64[] in the order of `types`, and ratios between them."""

    name: str
    types: tuple[str, ...]
    windows: tuple[int, ...]
    ratios: tuple[Ratio, ...] = ()
    state: type[CountsState] = CountsState
    _index: dict[str, int] = field(init=False, repr=False, compare=False)
    _spans: Sequence[tuple[int, int]] = field(init=False, repr=False, compare=False)
    _ratios: Sequence[tuple[int, int, float, float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {name: i for i, name in enumerate(self.types)}
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_spans", [(w // tile_of(w), tile_of(w)) for w in self.windows])
        object.__setattr__(self, "_ratios", [(index[r.top], index[r.bottom], *r.prior) for r in self.ratios])

    @property
    def fields(self) -> tuple[Field, ...]:
        types = ", ".join(self.types)
        return tuple(
            f
            for w in self.windows
            for f in (
                Field(
                    f"{self.name}_{label(w)}",
                    "int64[]",
                    [0] * len(self.types),
                    f"events in the last {label(w)}, in the order {types}",
                ),
                *(
                    Field(
                        f"{r.name}_{label(w)}",
                        "float32",
                        r.prior[0] / r.prior[1],
                        f"({r.top} + {r.prior[0]:g}) / ({r.bottom} + {r.prior[1]:g}), last {label(w)}",
                    )
                    for r in self.ratios
                ),
            )
        )

    def new(self) -> CountsState:
        return CountsState([{} for _ in self.windows], [0] * len(self.windows))

    def update(self, state: CountsState, signal: Signal, world: World) -> None:
        kind = self._index.get(signal.event_type)
        if kind is None:
            return
        k, newest, time = len(self.types), state.newest, signal.timestamp
        for w, (n, tile) in enumerate(self._spans):
            at = time // tile
            counts = state.windows[w]
            if at > newest[w]:
                newest[w] = at
                # Tiles are inserted nearly in order: one of a late event is dropped with the newer one before it.
                first = (at - n + 1) * k
                old = list(takewhile(first.__gt__, counts))
                for key in old:
                    del counts[key]
            elif at <= newest[w] - n:
                continue  # already out of the window
            key = at * k + kind
            counts[key] = counts.get(key, 0) + 1

    def values(self, state: CountsState, at: int) -> tuple[Any, ...]:
        out: list[Any] = []
        k = len(self.types)
        for (n, tile), counts in zip(self._spans, state.windows, strict=True):
            totals = [0] * k
            first = (at // tile - n + 1) * k
            for key, count in counts.items():
                if key >= first:
                    totals[key % k] += count
            out.append(totals)
            for top, bottom, a, b in self._ratios:
                out.append((totals[top] + a) / (totals[bottom] + b))
        return tuple(out)

    def due(self, state: CountsState, at: int) -> int | None:
        k = len(self.types)
        soonest: int | None = None
        for (n, tile), counts in zip(self._spans, state.windows, strict=True):
            first = (at // tile - n + 1) * k
            oldest = min(counts, default=None)
            if oldest is not None and oldest < first:  # out of the window, and not yet dropped
                oldest = min((key for key in counts if key >= first), default=None)
            if oldest is not None:
                end = (oldest // k + n) * tile
                soonest = end if soonest is None else min(soonest, end)
        return soonest
