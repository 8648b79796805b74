"""Whom a person follows (schemas/follows.py).

    follow, unfollow ─► the latest of each followed person ─► row of `user_follows`, newest first
                         │ unfollow p7   12:05
                         │ follow   p2   12:03

The state depends on the set of events alone: neither on the order in which they come nor on repetitions. Of each
followed person the latest event by its own time counts; of two of the same time the unfollow does. The newest MOST are
kept, unfollows among them, so that one that comes before the follow which it ends finds it later. It is a part of its
own of the user's key, which people who follow nobody do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from operators.contract import Cells, Field, Operator, Record, Row, Signal, View
from schemas.errors import InvalidEvent, StateError
from schemas.events import Interaction
from schemas.follows import FOLLOWS, UNFOLLOW, followed

PART = "\x01follows"
"""the part of a person with those whom they follow"""
CELL = "state"
MOST = 500
"""people whose latest event is kept, the newest"""

IDS, TIMES, ENDED = "follow_ids", "follow_times", "follow_ended"
FIELDS = (
    Field(IDS, "string[]", [], f"the last {MOST} people whom the person began or ceased to follow, newest first"),
    Field(TIMES, "int64[]", [], "when, epoch ms"),
    Field(ENDED, "bool[]", [], "whether the person has ceased to follow them"),
)
NAMES = tuple(field.name for field in FIELDS)


class Follow(NamedTuple):
    """The latest event about one followed person. Compared by time; of the same time an unfollow is the later one."""

    at: int
    ended: bool
    whom: str


class FollowsState(Struct, gc=False):
    """Followed person → the latest event. `cell` is None where it has to be made."""

    watermark: int
    of: dict[str, Follow]
    cell: bytes | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FollowsState) and (self.watermark, self.of) == (other.watermark, other.of)

    def newest(self) -> list[Follow]:
        """Newest first."""
        return sorted(self.of.values(), reverse=True)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, list[Follow]]).decode


class FollowsOperator(Operator[FollowsState]):
    """Follows and unfollows of one person → their row of the view."""

    name = "follows"

    def __init__(self, view: View[Any]) -> None:
        """`view.extra` is FIELDS."""
        self.view = view

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        event = record.event
        return ("",) if type(event) is Interaction and event.event_type in FOLLOWS else ()

    def new(self, part: str = "") -> FollowsState:
        return FollowsState(0, {})

    def encode(self, part: str, state: FollowsState) -> dict[str, bytes]:
        if state.cell is None:
            state.cell = _pack((state.watermark, state.newest()))
        return {CELL: state.cell}

    def decode(self, part: str, cells: Cells) -> FollowsState:
        try:
            cell = cells[CELL]
            watermark, entries = _unpack(cell)
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"{self.view.name}: {error}") from None
        return FollowsState(watermark, {entry.whom: entry for entry in entries}, cell)

    def of_row(self, row: Mapping[str, Any]) -> FollowsState:
        """The state to continue from outside the stream, from a row (field name → value); a new one where it has none
        of the fields. Its watermark is that of its entries."""
        entries = entries_of(row)
        return FollowsState(entries[0].at if entries else 0, {entry.whom: entry for entry in entries})

    def watermark(self, state: FollowsState) -> int:
        return state.watermark

    def row(self, key: str, part: str, state: FollowsState, at: int, cells: Cells | None = None) -> Row:
        newest = state.newest()
        return Row(
            self.view.name,
            (key,),
            ([entry.whom for entry in newest], [entry.at for entry in newest], [entry.ended for entry in newest]),
        )

    def due(self, part: str, state: FollowsState, at: int) -> int | None:
        return None

    def on_event(self, part: str, state: FollowsState, record: Record) -> list[Signal]:
        event = record.event
        if type(event) is not Interaction:
            raise InvalidEvent(f"a {type(event).__name__} is no follow")
        entry = Follow(event.timestamp, event.event_type == UNFOLLOW, followed(event.properties))
        state.watermark, state.cell = max(state.watermark, entry.at), None
        known = state.of.get(entry.whom)
        if known is None or entry > known:
            state.of[entry.whom] = entry
            if len(state.of) > MOST:
                del state.of[min(state.of.values()).whom]
        return []


def entries_of(row: Mapping[str, Any]) -> list[Follow]:
    """The entries of a row (field name → value), newest first; none where it has no such fields."""
    if not len(row.get(IDS, ())):
        return []
    columns = (row[name] for name in (TIMES, ENDED, IDS))
    return [Follow(int(at), bool(ended), whom) for at, ended, whom in zip(*columns, strict=True)]


def following(row: Mapping[str, Any]) -> list[str]:
    """The people whom the person of a row follows, the latest first."""
    return [entry.whom for entry in entries_of(row) if not entry.ended]
