"""Windows: tiles that merge, the newest included, and expire one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from operators.contract import Signal
from operators.features.scopes import HEAD_BYTES, Scope, Take, within
from operators.windows import tile_of
from schemas.errors import FeatureError

if TYPE_CHECKING:
    from operators.features.feature import Composed

A = TypeVar("A")


class Tiles(Struct, Generic[A], array_like=True, gc=False):
    """Accumulators by tile index, and the newest index."""

    newest: int
    tiles: dict[int, A]


class _Tiled(Scope):
    """Tiles that merge: one of index j is read while the current index is from j + first to j + last."""

    tile: int
    first: int
    last: int
    offset: int = 0

    def state(self, accumulator: Any, value: Any) -> Any:
        return Tiles[accumulator]

    def new(self, feature: Composed) -> Tiles[Any]:
        return Tiles(0, {})

    def taker(self, feature: Composed) -> Take:
        add, zero = feature.add, feature.zero
        tile, last, offset = self.tile, self.last, self.offset

        def take(state: Tiles[Any], value: Any, signal: Signal) -> None:
            index = (signal.timestamp - offset) // tile
            tiles = state.tiles
            if index > state.newest:
                state.newest = index
                oldest = index - last
                # Tiles come nearly in order: a late one hides behind a newer one until that goes, or there are many.
                while tiles and (first := next(iter(tiles))) < oldest:
                    del tiles[first]
                if len(tiles) > last:
                    for hidden in [t for t in tiles if t < oldest]:
                        del tiles[hidden]
            elif index < state.newest - last:
                return  # late, and out of every window by now
            found = tiles.get(index)
            tiles[index] = add(zero() if found is None else found, value)

        return take

    def read(self, feature: Composed, state: Tiles[Any], at: int) -> Any:
        now = (at - self.offset) // self.tile
        newest, oldest = now - self.first, now - self.last
        return feature.merged([acc for index, acc in state.tiles.items() if oldest <= index <= newest])

    def due(self, feature: Composed, state: Tiles[Any], at: int) -> int | None:
        """A tile enters `first` tiles after its own, and leaves when `last` have passed."""
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
    """The last `length` ms, in steps of `tile_of(length)`, the current tile included."""

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
