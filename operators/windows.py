"""Counts and ratios over sliding windows, as tiles that are added up.

A window of length W has W / tile tiles, the current one included; a value at time t adds up the tiles of indices above
floor(t / tile) - W / tile. The window therefore slides in steps of a tile, and `due` is when its oldest tile leaves it,
so that a timer can write the new value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from operators.contract import CellAggregation, Cells, Field, Signal, World
from operators.time import DAY, HOUR, MINUTE, SECOND, label
from schemas.errors import StateError

MOST_PENDING = 64
"""events of a key that wait for the next read"""

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


class Window(Struct, gc=False):
    """One window's tiles: counts by tile index · number of types + type's position. `newest` is the newest index, whose
    counts are apart, in `latest`, by the type's position.

    What follows from those is kept until it changes: `encoded`, the cell of all tiles but the newest, and of the tiles
    from key `first` on, the `totals` by type and the `oldest` key.
    """

    tiles: dict[int, int]
    newest: int
    latest: dict[int, int]
    encoded: bytes | None = None
    first: int = -1
    totals: list[int] = []
    oldest: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Window) and all(
            getattr(self, name) == getattr(other, name) for name in ("tiles", "newest", "latest")
        )


class CountsState(Struct, gc=False):
    """In the order of the windows. `pending` are the events, (time, type's position), that no window has yet."""

    windows: list[Window]
    pending: list[tuple[int, int]] = []


Newest = list[tuple[int, dict[int, int]]]
"""of each window the newest tile's index, and its counts by the type's position"""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, list[int]]).decode


@dataclass(frozen=True)
class Counts(CellAggregation[CountsState]):
    """Events by type over each window: int64[] in the order of `types`, and ratios between them.

    Whatever their order, the same events leave the same counts in each window. So windows take them when something is
    read: those of a backlog, of which many come between two reads, move a window on to its newest tile once.
    """

    name: str
    types: tuple[str, ...]
    windows: tuple[int, ...]
    ratios: tuple[Ratio, ...] = ()
    state: type[CountsState] = CountsState
    head: Any = Newest
    _index: dict[str, int] = field(init=False, repr=False, compare=False)
    _spans: Sequence[tuple[int, int]] = field(init=False, repr=False, compare=False)
    _ratios: Sequence[tuple[int, int, float, float]] = field(init=False, repr=False, compare=False)
    _cells: Sequence[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {name: i for i, name in enumerate(self.types)}
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_spans", [(w // tile_of(w), tile_of(w)) for w in self.windows])
        object.__setattr__(self, "_ratios", [(index[r.top], index[r.bottom], *r.prior) for r in self.ratios])
        object.__setattr__(self, "_cells", [f"state_{self.name}_{label(w)}" for w in self.windows])

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

    @property
    def cells(self) -> tuple[Field, ...]:
        return tuple(Field(name, "bytes", b"", "state: counts of all tiles but the newest") for name in self._cells)

    def new(self) -> CountsState:
        return CountsState([Window({}, 0, {}) for _ in self.windows])

    def split(self, state: CountsState) -> tuple[Newest, Cells]:
        k = len(self.types)
        head, cells = [], {}
        self._settle(state)
        for name, window in zip(self._cells, state.windows, strict=True):
            if window.encoded is None:
                window.encoded = _sealed(window.tiles, window.newest * k)
            cells[name] = window.encoded
            head.append((window.newest, window.latest))
        return head, cells

    def join(self, head: Newest, cells: Cells) -> CountsState:
        if len(head) != len(self.windows):
            raise StateError(f"{self.name}: {len(head)} windows of {len(self.windows)}")
        windows = []
        for name, (newest, latest) in zip(self._cells, head, strict=True):
            encoded = cells.get(name, b"")
            windows.append(Window(_unsealed(name, encoded), newest, latest, encoded))
        return CountsState(windows)

    def update(self, state: CountsState, signal: Signal, world: World) -> None:
        kind = self._index.get(signal.event_type)
        if kind is None:
            return
        state.pending.append((signal.timestamp, kind))
        if len(state.pending) >= MOST_PENDING:  # of a log that is replayed, nothing may be read before its end
            self._settle(state)

    def _settle(self, state: CountsState) -> None:
        """Counts the pending events in each window."""
        pending = state.pending
        if not pending:
            return
        state.pending = []
        k = len(self.types)
        latest = max(pending)[0]
        for window, (n, tile) in zip(state.windows, self._spans, strict=True):
            if latest // tile > window.newest:
                _move(window, latest // tile, n, k)
            newest = window.newest * k
            first = newest - (n - 1) * k
            for time, kind in pending:
                key = time // tile * k + kind
                if key >= newest:
                    window.latest[kind] = window.latest.get(kind, 0) + 1
                elif key >= first:
                    window.tiles[key] = window.tiles.get(key, 0) + 1
                    window.encoded = None
                else:
                    continue  # already out of the window
                if key >= window.first >= 0:
                    window.totals[kind] += 1
                    if window.oldest is None or key < window.oldest:
                        window.oldest = key

    def values(self, state: CountsState, at: int) -> tuple[Any, ...]:
        out: list[Any] = []
        self._settle(state)
        for window, (n, tile) in zip(state.windows, self._spans, strict=True):
            self._total(window, at // tile - n + 1)
            totals = window.totals
            out.append(totals.copy())
            for top, bottom, a, b in self._ratios:
                out.append((totals[top] + a) / (totals[bottom] + b))
        return tuple(out)

    def due(self, state: CountsState, at: int) -> int | None:
        k = len(self.types)
        soonest: int | None = None
        self._settle(state)
        for window, (n, tile) in zip(state.windows, self._spans, strict=True):
            self._total(window, at // tile - n + 1)
            if window.oldest is not None:
                end = (window.oldest // k + n) * tile
                soonest = end if soonest is None else min(soonest, end)
        return soonest

    def _total(self, window: Window, first_tile: int) -> None:
        """Sees to the totals of the tiles from this one on: anew where time has passed a tile, as `update` left them
        else."""
        k = len(self.types)
        first = max(first_tile * k, 0)
        if first == window.first:
            return
        totals, oldest = [0] * k, None
        for key, count in window.tiles.items():
            if key >= first:
                totals[key % k] += count
                if oldest is None or key < oldest:
                    oldest = key
        for kind, count in window.latest.items():
            key = window.newest * k + kind
            if key >= first:
                totals[kind] += count
                if oldest is None or key < oldest:
                    oldest = key
        window.first, window.totals, window.oldest = first, totals, oldest


def _move(window: Window, newest: int, n: int, k: int) -> None:
    """Makes `newest` the newest tile of a window of n tiles of k types, and drops those that leave it."""
    tiles = window.tiles
    if window.newest <= newest - n:  # all have left
        tiles.clear()
    else:
        first, place = (newest - n + 1) * k, window.newest * k
        for kind, count in window.latest.items():
            tiles[place + kind] = count
        for key in [key for key in tiles if key < first]:
            del tiles[key]
    window.newest, window.latest, window.encoded, window.first = newest, {}, None, -1


def _sealed(tiles: dict[int, int], before: int) -> bytes:
    """The counts of keys below `before`, each key as its distance from there."""
    numbers: list[int] = []
    for key in sorted(tiles):  # whose order depends on when they were read
        if key < before:
            numbers += (before - key, tiles[key])
    return _pack((before, numbers)) if numbers else b""


def _unsealed(name: str, encoded: bytes) -> dict[int, int]:
    """Raises StateError where `_sealed` has not made this."""
    if not encoded:
        return {}
    try:
        before, numbers = _unpack(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"{name}: {error}") from None
    return {before - distance: count for distance, count in zip(numbers[::2], numbers[1::2], strict=False)}
