"""Windows: accumulators by tile, which merge into a value and expire one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Struct

from operators.contract import Signal
from operators.features.limits import within
from operators.features.monoid import Monoid, Take
from operators.features.scopes import HEAD_BYTES, Scope
from operators.windows import tile_of
from schemas.errors import FeatureError

A = TypeVar("A")


class TilesState(Struct, Generic[A], array_like=True, gc=False):
    """Accumulators by tile index, and the newest index."""

    newest: int
    tiles: dict[int, A]


class _Tiled(Scope):
    """A value merges tiles: that of index j is read while the current index is from j + first to j + last."""

    tile: int
    first: int
    last: int
    offset: int = 0

    def state(self, accumulator: Any, value: Any) -> Any:
        return TilesState[accumulator]

    def new(self, feature: Monoid) -> TilesState[Any]:
        return TilesState(0, {})

    def taker(self, feature: Monoid) -> Take:
        add, zero = feature.add, feature.zero
        tile, last, offset = self.tile, self.last, self.offset

        def take(state: TilesState[Any], value: Any, signal: Signal) -> None:
            index = (signal.timestamp - offset) // tile
            tiles = state.tiles
            if index > state.newest:
                state.newest = index
                oldest = index - last
                # Tiles are inserted nearly in order. One of a late event stands behind newer ones: it is dropped when
                # those are, or below where there are too many.
                while tiles and (first := next(iter(tiles))) < oldest:
                    del tiles[first]
                if len(tiles) > last:
                    for hidden in [t for t in tiles if t < oldest]:
                        del tiles[hidden]
            elif index < state.newest - last:
                return  # a late event that is out of the window already
            found = tiles.get(index)
            tiles[index] = add(zero() if found is None else found, value)

        return take

    def read(self, feature: Monoid, state: TilesState[Any], at: int) -> Any:
        now = (at - self.offset) // self.tile
        newest, oldest = now - self.first, now - self.last
        return feature.merged([acc for index, acc in state.tiles.items() if oldest <= index <= newest])

    def due(self, feature: Monoid, state: TilesState[Any], at: int) -> int | None:
        """A tile enters the value `first` tiles after its own, and leaves it when `last` have passed."""
        now = (at - self.offset) // self.tile
        first, last = self.first, self.last
        leaving = [index for index in state.tiles if now - last <= index <= now - first]
        soonest = min(leaving) + last + 1 if leaving else None
        if first:
            entering = [index + first for index in state.tiles if index > now - first]
            soonest = min([*entering, *([] if soonest is None else [soonest])], default=None)
        return None if soonest is None else soonest * self.tile + self.offset

    def bytes(self, accumulator: int, value: int) -> int:
        return HEAD_BYTES + (self.last + 1) * (9 + accumulator)


@dataclass(frozen=True)
class Sliding(_Tiled):
    """The last `length` ms, the current tile included; it slides in steps of `tile_of(length)`."""

    length: int

    def __post_init__(self) -> None:
        within("a window", self.length)
        object.__setattr__(self, "tile", tile_of(self.length))
        object.__setattr__(self, "first", 0)
        object.__setattr__(self, "last", self.length // self.tile - 1)
        if self.length % self.tile:
            raise FeatureError(f"a window of {self.length} ms is not a whole number of its tiles of {self.tile} ms")


@dataclass(frozen=True)
class Tumbling(_Tiled):
    """The current window of `length` ms so far, or with `previous` the last whole one. Windows begin at multiples of
    the length since the epoch (UTC) plus `offset`: weeks begin on Thursday, with an offset of 4 days on Monday."""

    length: int
    previous: bool = False
    offset: int = 0

    def __post_init__(self) -> None:
        within("a window", self.length)
        object.__setattr__(self, "tile", self.length)
        object.__setattr__(self, "first", int(self.previous))
        object.__setattr__(self, "last", int(self.previous))
