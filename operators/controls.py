"""What a person asked for: hide this, less like this, not this category, more of this brand (schemas/controls.py).

    feedback ─► entries, newest first ─► row of `user_controls`
                 │ hide i9        12:05
                 │ undo of c2     12:04
                 │ not_category   12:03   (c2: not in force)
    ─ ─ ─ ─ ─ ─ ─ reset ─ ─ ─ ─ ─ ─ ─ ─   everything up to its time is dropped

The state depends on the set of events alone: neither on the order in which they come nor on repetitions. What is kept
is the newest entries by event time, undos among them, so that an undo that comes before what it undoes finds it later.
An entry that is older than a dropped one is not taken, however short it is.
It is a part of its own of the user's key, which people without controls do not have.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from operators.contract import Cells, Field, Operator, Record, Row, Signal, View
from schemas.controls import FEEDBACK, RESET, UNDO, target
from schemas.errors import InvalidEvent, StateError
from schemas.events import Interaction

PART = "\x01controls"
"""the part of a person with their controls"""
CELL = "state"
MOST = 200
"""entries that are kept, the newest"""
MOST_TEXT = 32_768
"""characters of their ids and targets; older ones are dropped from the first that does not fit"""

IDS, KINDS, TARGETS, TIMES, RESET_AT = (
    "control_ids", "control_kinds", "control_targets", "control_times", "controls_reset_at"
)  # fmt: skip
FIELDS = (
    Field(IDS, "string[]", [], f"event ids of the last {MOST} controls, newest first"),
    Field(KINDS, "string[]", [], "which control each is; an undo too is one"),
    Field(TARGETS, "string[]", [], "the item, category, brand or undone event of each"),
    Field(TIMES, "int64[]", [], "when, epoch ms"),
    Field(RESET_AT, "int64", 0, "time of the last reset, epoch ms: nothing up to then counts"),
)
NAMES = tuple(field.name for field in FIELDS)


class Control(NamedTuple):
    """One control as given. Compared by time, then by id."""

    at: int
    id: str
    kind: str
    target: str


Place = tuple[int, str]
"""(time, id) of a control, by which controls are ordered"""


class ControlsState(Struct, gc=False):
    """Entries in ascending order, the time of the last reset, epoch ms, and the place of the newest entry that was
    dropped for lack of room. `cell` is None where it has to be made."""

    watermark: int
    reset_at: int
    entries: list[Control]
    dropped: Place = (0, "")
    cell: bytes | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ControlsState) and (self.watermark, self.reset_at, self.entries) == (
            other.watermark, other.reset_at, other.entries
        )  # fmt: skip


_pack = msgspec.msgpack.Encoder().encode


class _Cell(Struct, array_like=True):
    """The fields of a saved state; those of older ones end before `dropped`."""

    watermark: int
    reset_at: int
    entries: list[Control]
    dropped: Place = (0, "")


_unpack = msgspec.msgpack.Decoder(_Cell).decode


class ControlsOperator(Operator[ControlsState]):
    """Feedback of one person → their row of the view."""

    name = "controls"

    def __init__(self, view: View[Any]) -> None:
        """`view.extra` is FIELDS."""
        self.view = view

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        event = record.event
        return ("",) if type(event) is Interaction and event.event_type == FEEDBACK else ()

    def new(self, part: str = "") -> ControlsState:
        return ControlsState(0, 0, [])

    def encode(self, part: str, state: ControlsState) -> dict[str, bytes]:
        if state.cell is None:
            state.cell = _pack((state.watermark, state.reset_at, state.entries, state.dropped))
        return {CELL: state.cell}

    def decode(self, part: str, cells: Cells) -> ControlsState:
        try:
            cell = cells[CELL]
            found = _unpack(cell)
            return ControlsState(found.watermark, found.reset_at, found.entries, found.dropped, cell)
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.view.name}: {error}") from None

    def of_row(self, row: Mapping[str, Any]) -> ControlsState:
        """The state to continue from outside the stream, from a row (field name → value); a new one where it has none
        of the fields. Its watermark is that of its entries; which older ones were dropped is not in a row."""
        entries = entries_of(row)[::-1]
        reset_at = int(row.get(RESET_AT, 0))
        return ControlsState(max(reset_at, entries[-1].at if entries else 0), reset_at, entries)

    def watermark(self, state: ControlsState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: ControlsState, at: int, cells: Cells | None = None) -> Row:
        newest = state.entries[::-1]
        columns = ([getattr(entry, name) for entry in newest] for name in ("id", "kind", "target", "at"))
        return Row(self.view.name, (key,), (*columns, state.reset_at))

    def due(self, part: str, state: ControlsState, at: int) -> int | None:
        return None

    def on_event(self, part: str, state: ControlsState, record: Record) -> list[Signal]:
        event = record.event
        if type(event) is not Interaction:
            raise InvalidEvent(f"a {type(event).__name__} is no control")
        kind = str(event.properties["control"])
        state.watermark, state.cell = max(state.watermark, event.timestamp), None
        if kind == RESET:
            state.reset_at = max(state.reset_at, event.timestamp)
            state.entries = [entry for entry in state.entries if entry.at > state.reset_at]
            return []
        entry = Control(event.timestamp, event.event_id, kind, target(event.item_id, event.properties))
        if entry.at > state.reset_at and entry[:2] > state.dropped and entry not in state.entries:
            insort(state.entries, entry)
            beyond = len(state.entries) - _fitting(state.entries)
            if beyond:
                state.dropped = state.entries[beyond - 1][:2]
                del state.entries[:beyond]
        return []


def _fitting(entries: Sequence[Control]) -> int:
    """How many of the newest entries are kept, one at least."""
    size = kept = 0
    for entry in reversed(entries[-MOST:]):
        size += len(entry.id) + len(entry.target)
        if size > MOST_TEXT:
            break
        kept += 1
    return max(kept, 1)


def entries_of(row: Mapping[str, Any]) -> list[Control]:
    """The entries of a row (field name → value), newest first; none where it has no such fields."""
    if not len(row.get(IDS, ())):
        return []
    columns = (row[name] for name in (TIMES, IDS, KINDS, TARGETS))
    return [Control(int(at), id, kind, target) for at, id, kind, target in zip(*columns, strict=True)]


def in_force(entries: Sequence[Control]) -> list[Control]:
    """The entries that no other one undoes, without the undos, in their order."""
    undone = {entry.target for entry in entries if entry.kind == UNDO}
    return [entry for entry in entries if entry.kind != UNDO and entry.id not in undone]
