"""What a person did lately: the session, the last interactions, the items already met."""

from __future__ import annotations

from array import array
from bisect import insort
from dataclasses import dataclass
from typing import Any

import mmh3
from msgspec import Struct

from operators.contract import Field, Signal, Weights, World
from operators.decay import weight_of
from operators.membership import Membership, assign


def hash64(text: str) -> int:
    """Unsigned 64-bit Murmur3 of the text: how ids are kept where only equality matters."""
    return mmh3.hash64(text, signed=False)[0]


MOST_ITEMS = 1000
"""distinct items of a session that are told apart: an app's session id may be its device's, and last for years"""


class SessionState(Struct, array_like=True, gc=False):
    """The current session; `counts` by event type, `items` as hashes."""

    id: str
    start: int
    last: int
    counts: dict[str, int]
    items: set[int]
    categories: list[str]


@dataclass(frozen=True)
class CurrentSession:
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

    def new(self) -> SessionState:
        return SessionState("", 0, 0, {}, set(), [])

    def update(self, state: SessionState, signal: Signal, world: World) -> None:
        found = assign(state, signal.timestamp, signal.session_id, self.gap)
        if found is Membership.ENDED:
            return
        if found is Membership.NEW:
            state.counts, state.items, state.categories = {}, set(), []
        state.counts[signal.event_type] = state.counts.get(signal.event_type, 0) + 1
        if signal.item_id and len(state.items) < MOST_ITEMS:
            state.items.add(hash64(signal.item_id))
        for name in reversed(signal.categories):
            if name in state.categories:
                state.categories.remove(name)
            state.categories.insert(0, name)
        del state.categories[self.categories :]

    def values(self, state: SessionState, at: int) -> tuple[Any, ...]:
        if not state.last or at > state.last + self.gap:
            return tuple(f.default for f in self.fields)
        return (
            state.id,
            state.start,
            (state.last - state.start) / 1000,
            [state.counts.get(name, 0) for name in self.types],
            len(state.items),
            list(state.categories),
        )

    def due(self, state: SessionState, at: int) -> int | None:
        end = state.last + self.gap + 1
        return end if state.last and end > at else None


class RecentState(Struct, array_like=True, gc=False):
    """(time, item, type, taste), oldest first."""

    events: list[tuple[int, str, str, float]]


@dataclass(frozen=True)
class Recent:
    """The last k interactions with items, newest first, and what each says of taste: two ratings may say opposites."""

    weights: Weights
    k: int = 50
    state: type[RecentState] = RecentState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("recent_items", "string[]", [], f"last {self.k} items, newest first"),
            Field("recent_types", "string[]", [], "what was done with each"),
            Field("recent_times", "int64[]", [], "when, epoch ms"),
            Field("recent_tastes", "float32[]", [], "weight of each, below 0 where it was turned down"),
        )

    def new(self) -> RecentState:
        return RecentState([])

    def update(self, state: RecentState, signal: Signal, world: World) -> None:
        if not signal.item_id:
            return
        entry = (signal.timestamp, signal.item_id, signal.event_type, weight_of(self.weights, signal))
        events = state.events
        if not events or entry >= events[-1]:
            events.append(entry)
        else:
            insort(events, entry)
        if len(events) > self.k:
            del events[0]

    def values(self, state: RecentState, at: int) -> tuple[Any, ...]:
        events = state.events[::-1]
        return [e[1] for e in events], [e[2] for e in events], [e[0] for e in events], [e[3] for e in events]

    def due(self, state: RecentState, at: int) -> int | None:
        return None


class SeenState(Struct, array_like=True, gc=False):
    """Item hashes, in order of first meeting."""

    items: dict[int, None]


@dataclass(frozen=True)
class Seen:
    """Items a person already met, as packed little-endian uint64 hashes: what a feed leaves out."""

    types: frozenset[str]
    keep: int = 5000
    """the oldest meeting is forgotten first"""
    state: type[SeenState] = SeenState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (Field("seen", "bytes", b"", "hash64 of each item met, packed uint64"),)

    def new(self) -> SeenState:
        return SeenState({})

    def update(self, state: SeenState, signal: Signal, world: World) -> None:
        if signal.item_id and signal.event_type in self.types:
            state.items[hash64(signal.item_id)] = None
            if len(state.items) > self.keep:
                del state.items[next(iter(state.items))]

    def values(self, state: SeenState, at: int) -> tuple[Any, ...]:
        return (array("Q", state.items).tobytes(),)

    def due(self, state: SeenState, at: int) -> int | None:
        return None


class AppliedState(Struct, array_like=True, gc=False):
    """The place in Kafka of the last interaction taken in, and the latest event time."""

    partition: int
    offset: int
    last: int


@dataclass(frozen=True)
class Applied:
    """How far into the log the row reaches: what a read-your-own-click token is compared with."""

    state: type[AppliedState] = AppliedState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("applied_partition", "int64", -1, "partition of the person's interactions"),
            Field("applied_offset", "int64", -1, "offset of the last interaction taken in"),
            Field("last_event_at", "int64", 0, "latest interaction's time, epoch ms"),
        )

    def new(self) -> AppliedState:
        return AppliedState(-1, -1, 0)

    def update(self, state: AppliedState, signal: Signal, world: World) -> None:
        if signal.offset >= 0:
            state.partition, state.offset = signal.partition, signal.offset
        state.last = max(state.last, signal.timestamp)

    def values(self, state: AppliedState, at: int) -> tuple[Any, ...]:
        return state.partition, state.offset, state.last

    def due(self, state: AppliedState, at: int) -> int | None:
        return None
