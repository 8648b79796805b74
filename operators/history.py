"""A person's recent history: the session, the last interactions, the items already met."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from operators.contract import CellAggregation, Cells, Field, Signal, Weights, World
from operators.decay import weight_of
from operators.hashes import CHUNK, HashLog
from operators.hashes import hash64 as hash64  # re-exported
from operators.membership import Membership, assign
from schemas.errors import StateError

MOST_ITEMS = 1000
"""distinct items of a session that are told apart: an app's session id may be its device's, and last for years"""


ITEMS = "state_session"


class SessionHead(Struct, array_like=True, gc=False):
    """The current session without its items; `counts` in the order of the types."""

    id: str
    start: int
    last: int
    counts: list[int]
    categories: list[str]


class SessionState(Struct, array_like=True, gc=False):
    """The current session, and its distinct items."""

    head: SessionHead
    items: HashLog


@dataclass(frozen=True)
class CurrentSession(CellAggregation[SessionState]):
    """The current session: the event's session id decides, else a gap in time ends it.

    An event older than the session's start (late) belongs to one that has ended and is left out.
    `gap` after the last event the session is over and every field falls back to its default.
    """

    gap: int
    types: tuple[str, ...]
    categories: int = 5
    state: type[SessionState] = SessionState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("session_id", "string", "", "the app's id, or s-<start in ms>"),
            Field("session_start", "int64", 0, "epoch ms"),
            Field("session_length_s", "float32", 0.0, "first to last event, seconds"),
            Field("session_counts", "int64[]", [0] * len(self.types), ", ".join(self.types)),
            Field("session_items", "int64", 0, f"distinct items, up to {MOST_ITEMS}"),
            Field("session_categories", "string[]", [], "last distinct categories, newest first"),
        )

    head: type[SessionHead] = SessionHead

    @property
    def cells(self) -> tuple[Field, ...]:
        chunks = (Field(f"{ITEMS}_{n}", "bytes", b"", "more of them") for n in range(-(-MOST_ITEMS // CHUNK)))
        return (Field(ITEMS, "bytes", b"", "state: hash64 of the session's items, packed"), *chunks)

    def new(self) -> SessionState:
        return SessionState(SessionHead("", 0, 0, [0] * len(self.types), []), HashLog(ITEMS))

    def split(self, state: SessionState) -> tuple[SessionHead, Cells]:
        return state.head, state.items.cells

    def join(self, head: SessionHead, cells: Cells) -> SessionState:
        if len(head.counts) != len(self.types):
            raise StateError(f"session: {len(head.counts)} counts of {len(self.types)} types")
        return SessionState(head, HashLog.of(cells, ITEMS))

    def update(self, state: SessionState, signal: Signal, world: World) -> None:
        head = state.head
        found = assign(head, signal.timestamp, signal.session_id, self.gap)
        if found is Membership.ENDED:
            return
        if found is Membership.NEW:
            head.counts, head.categories = [0] * len(self.types), []
            state.items = HashLog(ITEMS)
        if signal.event_type in self.types:
            head.counts[self.types.index(signal.event_type)] += 1
        items = state.items
        if signal.item_id and items.n < MOST_ITEMS:
            hashed = hash64(signal.item_id)
            if not items.n or not items.contains(hashed):
                items.append(hashed)
        if signal.categories:
            head.categories = list(dict.fromkeys((*signal.categories, *head.categories)))[: self.categories]

    def values(self, state: SessionState, at: int) -> tuple[Any, ...]:
        head = state.head
        if not head.last or at > head.last + self.gap:
            return tuple(f.default for f in self.fields)
        return (
            head.id,
            head.start,
            (head.last - head.start) / 1000,
            list(head.counts),
            len(state.items),
            list(head.categories),
        )

    def due(self, state: SessionState, at: int) -> int | None:
        end = state.head.last + self.gap + 1
        return end if state.head.last and end > at else None


class RecentState(Struct, array_like=True, gc=False):
    """In columns, newest first."""

    times: list[int]
    items: list[str]
    types: list[str]
    tastes: list[float]


_float32 = struct.Struct("<f")
_pack_recent = msgspec.msgpack.Encoder().encode
_unpack_recent = msgspec.msgpack.Decoder(RecentState).decode


@dataclass(frozen=True)
class Recent(CellAggregation[RecentState]):
    """The last k interactions with items, newest first, and what each says of taste: two ratings may say opposites."""

    weights: Weights
    k: int = 50
    state: type[RecentState] = RecentState
    head: Any = None

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("recent_items", "string[]", [], f"last {self.k} items, newest first"),
            Field("recent_types", "string[]", [], "what was done with each"),
            Field("recent_times", "int64[]", [], "when, epoch ms"),
            Field("recent_tastes", "float32[]", [], "weight of each, below 0 where it was turned down"),
        )

    def new(self) -> RecentState:
        return RecentState([], [], [], [])

    def split(self, state: RecentState) -> tuple[None, Cells]:
        return None, {"recent": _pack_recent(state)}

    def join(self, head: None, cells: Cells) -> RecentState:
        try:
            found = _unpack_recent(cells["recent"])
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"recent: {error}") from None
        if not len(found.times) == len(found.items) == len(found.types) == len(found.tastes):
            raise StateError("recent: columns of different lengths")
        return found

    def of_row(self, head: None, row: Mapping[str, Any]) -> RecentState:
        return RecentState(
            *(list(row[name]) for name in ("recent_times", "recent_items", "recent_types", "recent_tastes"))
        )

    def update(self, state: RecentState, signal: Signal, world: World) -> None:
        if not signal.item_id:
            return
        # In the precision that the row has it in, so that the row says all that the state does.
        (taste,) = _float32.unpack(_float32.pack(weight_of(self.weights, signal)))
        entry = (signal.timestamp, signal.item_id, signal.event_type, taste)
        columns: tuple[list[Any], ...] = state.times, state.items, state.types, state.tastes
        place = 0
        for at in state.times:  # the newest first, as most entries are
            if at < entry[0] or (at == entry[0] and tuple(column[place] for column in columns) <= entry):
                break
            place += 1
        if place >= self.k:
            return
        for column, value in zip(columns, entry, strict=True):
            column.insert(place, value)
        if len(state.times) > self.k:
            for column in columns:
                column.pop()

    def values(self, state: RecentState, at: int) -> tuple[Any, ...]:
        return state.items.copy(), state.types.copy(), state.times.copy(), state.tastes.copy()

    def due(self, state: RecentState, at: int) -> int | None:
        return None


class AppliedState(Struct, array_like=True, gc=False):
    """The place in Kafka of the last interaction applied, the latest event time, and the place of the last interaction
    that was applied or refused."""

    partition: int
    offset: int
    last: int
    read_partition: int
    read_offset: int


@dataclass(frozen=True)
class Applied(CellAggregation[AppliedState]):
    """How far into the log the row reaches: what a read-your-own-click token is compared with."""

    state: type[AppliedState] = AppliedState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("applied_partition", "int64", -1, "partition of the person's interactions"),
            Field("applied_offset", "int64", -1, "offset of the last interaction applied"),
            Field("last_event_at", "int64", 0, "latest interaction's time, epoch ms"),
            Field("read_partition", "int64", -1, "partition of the last interaction, applied or refused"),
            Field("read_offset", "int64", -1, "its offset"),
        )

    def new(self) -> AppliedState:
        return AppliedState(-1, -1, 0, -1, -1)

    def update(self, state: AppliedState, signal: Signal, world: World) -> None:
        if signal.offset >= 0:
            state.partition, state.offset = signal.partition, signal.offset
            state.read_partition, state.read_offset = signal.partition, signal.offset
        if signal.timestamp > state.last:
            state.last = signal.timestamp

    def refuse(self, state: AppliedState, partition: int, offset: int) -> None:
        """Notes an interaction that was refused: a reader who waits for it need not wait any longer."""
        if offset >= 0:
            state.read_partition, state.read_offset = partition, offset

    def values(self, state: AppliedState, at: int) -> tuple[Any, ...]:
        return state.partition, state.offset, state.last, state.read_partition, state.read_offset

    def due(self, state: AppliedState, at: int) -> int | None:
        return None
