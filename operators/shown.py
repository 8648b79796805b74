"""What a person was shown, by surface: which items, and in which half hours.

    impression ─► recent entries, one a shown item ─(FULL of them)─► sealed entries, trimmed

An entry is (surface, item, half hour): a list that is shown again within the same half hour is one showing of its
items. Entries are a set, so that neither repetitions nor the order of impressions change what is read. One more
impression rewrites the recent entries alone, FULL at most; the sealed ones, up to 12 bytes times MOST, are rewritten
once every FULL entries.

The room is shared by surfaces: where it is full, the oldest entry of the surface with the most entries goes first. A
surface whose lists are short keeps what it has, however much is shown on others and however many of them there are.
The rows of a page count as shown on the surface whose stages and rules they have.

Whether a shown item was taken is not kept: a reader compares with what the person did (recommend/rotation.py), so that
an interaction costs nothing here and may come before the impression that led to it. The memory is a part of its own of
the user's key, which people who were shown nothing do not have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
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
MOST = 4000
"""sealed entries of all surfaces"""
MOST_LIST = 200
"""items of one impression that are remembered, from the top: as many as an answer of a server has at most"""
MOST_MS = 90 * DAY
"""older entries are dropped"""
LATEST = (1 << 32) - 1
"""the last visit that an entry can have, in more than 200,000 years"""

ROW = "page:"
"""with which the surface of a page's row begins; the kind of the row follows"""
HOME = "home"
SURFACE_OF_ROW = {"because_item": "similar", "popular_in_region": "trending", "trending": "trending"}
"""kind of rows of a page → the surface whose stages and rules it has (recommend/page_rows.py); HOME of all others"""

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
    """Entries as a cell, in runs of one surface: `surfaces` (runs,) by `surface_code`, `counts` (runs,) of the entries
    of each, `visits` (n,), all uint32, and `hashes` (n,), uint64; little-endian."""

    surfaces: bytes
    counts: bytes
    hashes: bytes
    visits: bytes


Entry = tuple[int, int, int]
"""code of the surface, hash of the item, visit"""
Codes = npt.NDArray[np.uint32]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Packed).decode
_unpack_recent = msgspec.msgpack.Decoder(tuple[int, Packed]).decode
_NOTHING = Packed(b"", b"", b"", b"")


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
                _runs(_unpack(sealed))
        except (KeyError, ValueError, msgspec.MsgspecError) as error:
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


def counted_on(surface: str) -> str:
    """The surface on which what an impression's `surface` shows counts as shown."""
    return SURFACE_OF_ROW.get(surface.removeprefix(ROW), HOME) if surface.startswith(ROW) else surface


@lru_cache(1024)
def surface_code(surface: str) -> int:
    """Of the surface on which it counts, 32 bits."""
    return hash64(counted_on(surface)) & 0xFFFFFFFF


def entries_of(shown: Impression) -> list[Entry]:
    """The entries of an impression."""
    code, visit = surface_code(shown.surface), min(shown.timestamp // VISIT, LATEST)
    return [(code, hash64(item_id), visit) for item_id in shown.items[:MOST_LIST]]


def sealed(cell: bytes, recent: Collection[Entry], at: int, most: int = MOST) -> bytes:
    """The cell of the sealed entries with the recent ones: each once, by surface, newest first, those that are kept at
    `at`, epoch ms, `most` at most. Raises ValueError where the columns of the cell do not fit together."""
    found = [_columns(each) for each in (_unpack(cell) if cell else _NOTHING, packed(recent))]
    codes, hashes, visits = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.lexsort((hashes, -visits.astype(np.int64), codes))
    codes, hashes, visits = codes[order], hashes[order], visits[order]
    kept = visits >= (at - MOST_MS) // VISIT
    kept[1:] &= (codes[1:] != codes[:-1]) | (hashes[1:] != hashes[:-1]) | (visits[1:] != visits[:-1])
    at_kept = np.flatnonzero(kept)
    at_kept = at_kept[_turns(codes[at_kept], hashes[at_kept]) < TIMES]
    turns = _turns(codes[at_kept])
    within = turns < KEEP
    at_kept, turns = at_kept[within], turns[within]
    if len(at_kept) > most:
        # By turns within their surface: the last ones are the oldest entries of the surfaces with the most.
        at_kept = at_kept[np.sort(np.lexsort((codes[at_kept], -visits[at_kept].astype(np.int64), turns))[:most])]
    return _pack(_packed(codes[at_kept], hashes[at_kept], visits[at_kept]))


def appended(cell: bytes, shown: Impression, most: int) -> bytes:
    """The cell (b"" for none) with the entries of an impression. Where it then has more than twice `most`, sealed to
    `most`, so that this takes some microseconds a time on average; nothing is dropped for its age."""
    # As of `packed(entries_of(shown))`, in a third of the time: they are one run of one surface.
    hashes = np.array([hash64(item_id) for item_id in shown.items[:MOST_LIST]], np.uint64)
    visits = np.full(len(hashes), min(shown.timestamp // VISIT, LATEST), np.uint32)
    surface, count = np.array([[surface_code(shown.surface)], [len(hashes)]], np.uint32)[:, : len(hashes)]
    new = Packed(surface.tobytes(), count.tobytes(), hashes.tobytes(), visits.tobytes())
    if cell:
        old = _unpack(cell)
        new = Packed(
            old.surfaces + new.surfaces, old.counts + new.counts, old.hashes + new.hashes, old.visits + new.visits
        )
    found = _pack(new)
    return found if len(new.visits) <= 2 * most * np.dtype(np.uint32).itemsize else sealed(found, (), 0, most)


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
    codes, hashes, visits = zip(*entries, strict=True)
    return _packed(np.array(codes, np.uint32), np.array(hashes, np.uint64), np.array(visits, np.uint32))


def _packed(codes: Codes, hashes: Hashes, visits: Visits) -> Packed:
    first = np.ones(len(codes), bool)
    first[1:] = codes[1:] != codes[:-1]
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=len(codes)).astype(np.uint32)
    return Packed(codes[starts].tobytes(), counts.tobytes(), hashes.tobytes(), visits.tobytes())


def pack(shown: Iterable[tuple[str, int, int]]) -> bytes:
    """Showings, each (surface, hash of the item, visit), as the cell of sealed ones, which `showings` reads."""
    return _pack(packed([(surface_code(surface), hashed, visit) for surface, hashed, visit in shown]))


def showings(row: Mapping[str, Any], surfaces: Collection[str], *more: bytes) -> Showings:
    """The entries of these surfaces in a row (field name → value), none where it has no such fields; those of `more`,
    cells of `pack` or `appended`, with them. An entry may be there twice. Raises StateError where a cell is none."""
    found = [Showings(np.zeros(0, np.uint64), np.zeros(0, np.uint32))]
    codes = np.array([surface_code(surface) for surface in surfaces], np.uint32)
    try:
        if recent := row.get(SHOWN):
            found.append(_of(_unpack_recent(recent)[1], codes))
        found += [_of(_unpack(cell), codes) for cell in (row.get(SEALED), *more) if cell]
    except (ValueError, msgspec.MsgspecError) as error:
        raise StateError(f"what was shown: {error}") from None
    hashes, visits = zip(*found, strict=True)
    return Showings(np.concatenate(hashes), np.concatenate(visits))


def _runs(cell: Packed) -> tuple[Codes, Codes, Hashes, Visits]:
    """Surfaces and counts (runs,), hashes and visits (n,). Raises ValueError where they do not fit together."""
    surfaces, counts = np.frombuffer(cell.surfaces, np.uint32), np.frombuffer(cell.counts, np.uint32)
    hashes, visits = np.frombuffer(cell.hashes, np.uint64), np.frombuffer(cell.visits, np.uint32)
    if len(surfaces) != len(counts) or not int(counts.sum(dtype=np.uint64)) == len(hashes) == len(visits):
        raise ValueError("columns of different lengths")
    return surfaces, counts, hashes, visits


def _columns(cell: Packed) -> tuple[Codes, Hashes, Visits]:
    """Surfaces, hashes and visits (n,). Raises as `_runs`."""
    surfaces, counts, hashes, visits = _runs(cell)
    return np.repeat(surfaces, counts), hashes, visits


def _of(cell: Packed, codes: Codes) -> Showings:
    surfaces, counts, hashes, visits = _runs(cell)
    wanted = (surfaces[:, None] == codes).any(axis=1)
    if wanted.all():
        return Showings(hashes, visits)
    mask = np.repeat(wanted, counts)
    return Showings(hashes[mask], visits[mask])


def _entries(cell: Packed) -> list[Entry]:
    codes, hashes, visits = _columns(cell)
    return list(zip(codes.tolist(), hashes.tolist(), visits.tolist(), strict=True))
