"""What a person was shown, by surface: which items, and in which half hours.

    impression ─► recent entries, one a shown item ─(FULL of them)─► sealed entries, trimmed

An entry is (surface, item, half hour): a list that is shown again within the same half hour is one showing of its
items. Entries are a set, so that neither repetitions nor the order of impressions change what is read. One more
impression rewrites the recent entries alone, FULL at most; the sealed ones, up to 13 bytes times KEEP for each surface,
are rewritten once every FULL entries.

Whether a shown item was taken is not kept: a reader compares with what the person did (recommend/rotation.py), so that
an interaction costs nothing here and may come before the impression that led to it. The memory is a part of its own of
the user's key, which people who were shown nothing do not have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from operators.aggregator import STATE
from operators.contract import Cells, Field, Operator, Record, Row, Signal, View
from operators.hashes import Hashes, hash64
from operators.time import DAY, MINUTE
from schemas.errors import InvalidEvent, StateError
from schemas.events import Impression

PART = "\x01shown"
"""the part of a person with what they were shown"""
VISIT = 30 * MINUTE
"""ms; showings of an item within one are one"""
FULL = 128
"""recent entries at which they are sealed"""
KEEP = 1000
"""sealed entries of one surface, the newest"""
TIMES = 5
"""of one item on one surface, the newest"""
SURFACES = 8
"""those with the newest entries"""
MOST_LIST = 200
"""items of one impression that are remembered, from the top: as many as an answer of a server has at most"""
MOST_MS = 90 * DAY
"""older entries are dropped"""

SHOWN, SEALED = "shown", "shown_before"
FIELDS = (
    Field(SHOWN, "bytes", b"", "recent entries, packed: see operators/shown.py"),
    Field(SEALED, "bytes", b"", "older entries, packed"),
)
NAMES = tuple(field.name for field in FIELDS)

Visits = npt.NDArray[np.uint32]


class Showings(NamedTuple):
    """Entries in columns: hashes of the items (n,), and in which visit, epoch ms // VISIT, each was shown (n,)."""

    hashes: Hashes
    visits: Visits


class Packed(Struct, array_like=True, gc=False):
    """Entries as a cell: `codes` are places in `surfaces`, uint8; hashes uint64 and visits uint32, little-endian."""

    surfaces: list[str]
    codes: bytes
    hashes: bytes
    visits: bytes


Entry = tuple[str, int, int]
"""surface, hash of the item, visit"""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Packed).decode
_unpack_recent = msgspec.msgpack.Decoder(tuple[int, Packed]).decode
_NOTHING = Packed([], b"", b"", b"")


class ShownState(Struct, gc=False):
    """The latest time, the recent entries, and the cell of the sealed ones. `cell` is None where it has to be made."""

    watermark: int
    recent: dict[Entry, None]
    sealed: bytes = b""
    cell: bytes | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShownState) and (self.watermark, list(self.recent), self.sealed) == (
            other.watermark, list(other.recent), other.sealed
        )  # fmt: skip


class ShownOperator(Operator[ShownState]):
    """Impressions of one person → their row of the view."""

    name = "shown"

    def __init__(self, view: View[Any]) -> None:
        """`view.extra` is FIELDS."""
        self.view = view

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        return ("",) if type(record.event) is Impression else ()

    def new(self, part: str = "") -> ShownState:
        return ShownState(0, {})

    def encode(self, part: str, state: ShownState) -> dict[str, bytes]:
        if state.cell is None:
            state.cell = _pack((state.watermark, packed(state.recent)))
        return {STATE: state.cell, SEALED: state.sealed} if state.sealed else {STATE: state.cell}

    def decode(self, part: str, cells: Cells) -> ShownState:
        try:
            watermark, recent = _unpack_recent(cells[STATE])
            entries = _entries(recent)
            sealed = cells.get(SEALED, b"")
            if sealed:
                _entries(_unpack(sealed))
        except (KeyError, IndexError, ValueError, msgspec.MsgspecError) as error:
            raise StateError(f"{self.view.name}: {error}") from None
        return ShownState(watermark, dict.fromkeys(entries), sealed, cells[STATE])

    def watermark(self, state: ShownState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: ShownState, at: int, cells: Cells | None = None) -> Row:
        found = self.encode("", state) if cells is None else cells
        return Row(self.view.name, (key,), (found[STATE], found.get(SEALED, b"")))

    def due(self, part: str, state: ShownState, at: int) -> int | None:
        return None

    def on_event(self, part: str, state: ShownState, record: Record) -> list[Signal] | None:
        event = record.event
        if type(event) is not Impression:
            raise InvalidEvent(f"a {type(event).__name__} shows nothing")
        before = len(state.recent)
        for entry in entries_of(event):
            state.recent[entry] = None
        if len(state.recent) == before:
            return None
        state.watermark, state.cell = max(state.watermark, event.timestamp), None
        if len(state.recent) >= FULL:
            state.sealed = sealed(state.sealed, state.recent, state.watermark)
            state.recent.clear()
        return []


def entries_of(shown: Impression) -> list[Entry]:
    """The entries of an impression."""
    visit = shown.timestamp // VISIT
    return [(shown.surface, hash64(item_id), visit) for item_id in shown.items[:MOST_LIST]]


def sealed(cell: bytes, recent: Collection[Entry], at: int) -> bytes:
    """The cell of the sealed entries with the recent ones: each once, newest first, those that are kept at `at`, epoch
    ms. Raises ValueError or IndexError where the cell has columns of different lengths or codes without a surface."""
    old, new = _unpack(cell) if cell else _NOTHING, packed(recent)
    surfaces = sorted({*old.surfaces, *new.surfaces})
    found = []
    for each in (old, new):
        codes, *others = _columns(each)
        found.append((np.array([surfaces.index(name) for name in each.surfaces], np.uint8)[codes], *others))
    of_entry, hashes, visits = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.lexsort((hashes, of_entry, -visits.astype(np.int64)))
    of_entry, hashes, visits = of_entry[order], hashes[order], visits[order]
    kept = visits >= (at - MOST_MS) // VISIT
    kept[1:] &= (of_entry[1:] != of_entry[:-1]) | (hashes[1:] != hashes[:-1]) | (visits[1:] != visits[:-1])
    at_kept = np.flatnonzero(kept)
    at_kept = at_kept[_turns(of_entry[at_kept], hashes[at_kept]) < TIMES]
    at_kept = at_kept[_turns(of_entry[at_kept]) < KEEP]
    first_of = np.unique(of_entry[at_kept], return_index=True)
    newest = first_of[0][np.argsort(first_of[1])][:SURFACES]
    at_kept = at_kept[np.isin(of_entry[at_kept], newest)]
    codes = np.zeros(len(surfaces), np.uint8)
    codes[newest] = np.arange(len(newest))
    return _pack(
        Packed(
            [surfaces[code] for code in newest.tolist()],
            codes[of_entry[at_kept]].tobytes(),
            hashes[at_kept].tobytes(),
            visits[at_kept].tobytes(),
        )
    )


def _turns(*groups: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many entries of the same group stand before each one (n,), where arrays (n,) say together which it is of."""
    n = len(groups[0])
    order = np.lexsort(groups)
    first = np.ones(n, bool)
    first[1:] = np.logical_or.reduce([group[order][1:] != group[order][:-1] for group in groups]) if n else False
    starts = np.maximum.accumulate(np.where(first, np.arange(n), 0))
    found = np.empty(n, np.int64)
    found[order] = np.arange(n) - starts
    return found


def packed(entries: Collection[Entry]) -> Packed:
    """The entries in columns, in their order."""
    if not entries:
        return _NOTHING
    surfaces, hashes, visits = zip(*entries, strict=True)
    codes = {name: code for code, name in enumerate(dict.fromkeys(surfaces))}
    return Packed(
        list(codes),
        np.array([codes[name] for name in surfaces], np.uint8).tobytes(),
        np.array(hashes, np.uint64).tobytes(),
        np.array(visits, np.uint32).tobytes(),
    )


def pack(entries: Collection[Entry]) -> bytes:
    """The entries as the cell of sealed ones, which `showings` reads."""
    return _pack(packed(entries))


def showings(row: Mapping[str, Any], surfaces: Collection[str], *more: bytes) -> Showings:
    """The entries of these surfaces in a row (field name → value), none where it has no such fields; those of `more`,
    cells that `pack` made, with them. An entry may be there twice. Raises StateError where a cell is none."""
    found = [Showings(np.zeros(0, np.uint64), np.zeros(0, np.uint32))]
    try:
        if recent := row.get(SHOWN):
            found.append(_of(_unpack_recent(recent)[1], surfaces))
        found += [_of(_unpack(cell), surfaces) for cell in (row.get(SEALED), *more) if cell]
    except (ValueError, IndexError, msgspec.MsgspecError) as error:
        raise StateError(f"what was shown: {error}") from None
    hashes, visits = zip(*found, strict=True)
    return Showings(np.concatenate(hashes), np.concatenate(visits))


def _columns(cell: Packed) -> tuple[npt.NDArray[np.uint8], Hashes, Visits]:
    """Codes, hashes and visits (n,). Raises ValueError where they are of different lengths."""
    codes = np.frombuffer(cell.codes, np.uint8)
    hashes, visits = np.frombuffer(cell.hashes, np.uint64), np.frombuffer(cell.visits, np.uint32)
    if not len(codes) == len(hashes) == len(visits):
        raise ValueError("columns of different lengths")
    return codes, hashes, visits


def _of(cell: Packed, surfaces: Collection[str]) -> Showings:
    codes, hashes, visits = _columns(cell)
    wanted = [code for code, name in enumerate(cell.surfaces) if name in surfaces]
    if len(wanted) == len(cell.surfaces):
        return Showings(hashes, visits)
    mask = np.isin(codes, wanted)
    return Showings(hashes[mask], visits[mask])


def _entries(cell: Packed) -> list[Entry]:
    codes, hashes, visits = _columns(cell)
    return [
        (cell.surfaces[code], hashed, visit)
        for code, hashed, visit in zip(codes.tolist(), hashes.tolist(), visits.tolist(), strict=True)
    ]
