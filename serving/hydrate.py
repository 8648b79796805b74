"""Who is asking: a person's features, with their own last clicks in them whether the store shows those or not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from feature_repo import views
from feature_repo.views import user_operator
from operators.contract import Record, World
from operators.keyed import KeyedState
from operators.time import DEFAULT_LATENESS
from operators.vector import UserVector
from schemas.errors import EventError, StateError
from schemas.topics import INTERACTIONS, USERS
from serving.own_events import OwnEvents
from serving.store import Store, StoreAway
from serving.tokens import Token

log = logging.getLogger(__name__)

Features = Mapping[str, Any]
NAMES = [f.name for f in views.user.fields]
DEFAULTS = {f.name: f.default for f in views.user.fields}
VECTOR, EMBEDDING = next((i, a) for i, a in enumerate(views.user.aggregations) if isinstance(a, UserVector))
REMEMBERED = 1000
"""people whose last row is kept for when the store is away"""
EMBEDDED = 10_000
"""vectors kept of people whose row is of an older space"""


class Freshness(Struct, frozen=True):
    """How fresh the features behind an answer are."""

    last_event_at: int | None
    """time of the latest event in them, epoch ms"""
    applied_offset: int | None
    """Kafka offset of the last interaction in them"""
    lag_ms: int
    """for how long the store has owed events that this server knows of, 0 where it owes none"""
    caught_up: bool
    """whether everything that the request's token names is in them"""


class Person(NamedTuple):
    """Features as of now."""

    features: Features
    freshness: Freshness
    degraded: bool
    """whether the store could not be asked"""
    pairs: PersonsPairs
    row_offset: int
    """of the last interaction in the store's row, -1 where there is none"""
    own_offsets: list[int]
    """those of this server's that were put on top of it"""


class PersonsPairs:
    """The person's features of pairs, read once the candidates are known: defaults where the store is away."""

    def __init__(self, store: Store, user_id: str, consent: bool) -> None:
        self._store, self._user_id, self._consent = store, user_id, consent
        self.degraded = False
        """whether the store could not be asked"""

    def __call__(self, view: str, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        if not self._consent:
            return {}
        try:
            return self._store.read_pairs(self._user_id, view, names)
        except StoreAway:
            self.degraded = True
            return {}


class Hydrator:
    """Reads rows and brings them up to date with the same update that the stream applies."""

    def __init__(
        self,
        store: Store,
        own: OwnEvents,
        world: World,
        issuer: str,
        wait_ms: float = 15,
        poll_ms: float = 3,
        clock: Callable[[], int] | None = None,
        lateness: int = DEFAULT_LATENESS,
    ) -> None:
        """`issuer` is this server's name in tokens; `clock` gives epoch ms; `lateness` is the job's allowed one, ms."""
        self._store = store
        self._own = own
        self._world = world
        self._issuer = issuer
        self._wait_s, self._poll_s = wait_ms / 1000, poll_ms / 1000
        self._operator = user_operator(world, lateness)
        self._clock = clock or now_ms
        self._remembered: OrderedDict[str, Features] = OrderedDict()
        self._embedded: OrderedDict[tuple[str, int, int, str], tuple[list[float], str]] = OrderedDict()

    async def person(self, user_id: str, after: Token | None = None) -> Person:
        """The person's features, those of the events in the token `after` included where that can be."""
        row, degraded = self._read(user_id)
        caught_up = after is None or self._covered(user_id, row, after)
        if after is not None and not caught_up and not degraded:
            row, caught_up = await self._wait(user_id, row, after)
        now = self._clock()
        pending = self._own.pending(user_id, row)
        features, owed = (
            self._applied(user_id, row, pending, now) if pending else (self._in_space(user_id, row, now), [])
        )
        lag = max(0, now - min(record.arrived for record in owed)) if owed else 0
        if features is None:
            features = DEFAULTS
        freshness = Freshness(
            features["last_event_at"] or None,
            features["applied_offset"] if features["applied_offset"] >= 0 else None,
            lag,
            caught_up and not (degraded and after is not None and not pending),
        )
        consent = bool(features["consent"])
        pairs = PersonsPairs(self._store, user_id, consent)
        row_offset = -1 if row is None else row["applied_offset"]
        own_offsets = [record.offset for record in owed if record.topic == INTERACTIONS]
        return Person(features if consent else _unknown(), freshness, degraded, pairs, row_offset, own_offsets)

    def _read(self, user_id: str) -> tuple[Features | None, bool]:
        try:
            row = self._store.read(user_id)
        except StoreAway:
            return self._remembered.get(user_id), True
        if row is not None:
            self._remembered[user_id] = row
            self._remembered.move_to_end(user_id)
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return row, False

    def _covered(self, user_id: str, row: Features | None, after: Token) -> bool:
        places = after.places.get(INTERACTIONS)
        if after.issuer == self._issuer and self._own.covers(user_id, row):
            return True
        if not places:
            return not after.places.get(USERS)  # a row does not say how many profiles are in it
        if row is None:
            return False
        wanted = places.get(row["applied_partition"])
        if wanted is None:
            return bool(row["applied_partition"] >= 0)  # the token is of other people's partitions
        return bool(row["applied_offset"] >= wanted)

    async def _wait(self, user_id: str, row: Features | None, after: Token) -> tuple[Features | None, bool]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        while loop.time() < deadline:
            await asyncio.sleep(self._poll_s)
            row, degraded = self._read(user_id)
            if degraded:
                break
            if self._covered(user_id, row, after):
                return row, True
        return row, False

    # -- the operator --------------------------------------------------------------------------

    def _applied(
        self, user_id: str, row: Features | None, pending: list[Record], now: int
    ) -> tuple[Features, list[Record]]:
        """The row with `pending` put on top, and those of them that could be."""
        operator = self._operator
        state = operator.new("") if row is None else self._state_of(row)
        if state is None:
            assert row is not None
            return row, []
        taken = []
        for record in pending:
            try:
                operator.on_event("", state, record)
            except EventError:
                # The stream will say the same of it, so the row will never show it.
                self._own.forget(user_id, record)
            else:
                taken.append(record)
        self._embed(state)
        # Declared features are as fresh as the store: their states are the stream's alone.
        return {**(row or {}), **self._row(user_id, state, now)}, taken

    def _in_space(self, user_id: str, row: Features | None, now: int) -> Features | None:
        """The row with its vector in the space in force. A bundle can be newer than the person's last event."""
        space = self._world.space.id
        if row is None or row["vector_space"] == space or not row["recent_items"]:
            return row
        key = (user_id, row["applied_partition"], row["applied_offset"], space)
        found = self._embedded.get(key)
        if found is None:
            state = self._state_of(row)
            if state is None:
                return row
            self._embed(state)
            vector, space_id = EMBEDDING.values(state.parts[VECTOR], now)
            found = self._embedded[key] = vector, space_id
            if len(self._embedded) > EMBEDDED:
                self._embedded.popitem(last=False)
        return {**row, "vector": found[0], "vector_space": found[1]}

    def _state_of(self, row: Features) -> KeyedState | None:
        """None where another version of the job wrote the row and has not written it again: its features still hold."""
        try:
            return self._operator.decode("", row["state"])
        except StateError as error:
            log.warning("%s", error)
            return None

    def _embed(self, state: KeyedState) -> None:
        EMBEDDING.embed(state.parts[VECTOR], self._world)

    def _row(self, user_id: str, state: KeyedState, now: int) -> Features:
        row = self._operator.row(user_id, "", state, now)
        return dict(zip(NAMES, row.values, strict=True))


def _unknown() -> Features:
    """Somebody who has not agreed to personalization gets what a stranger gets."""
    return {**DEFAULTS, "consent": False}


def now_ms() -> int:
    """Epoch ms."""
    return time.time_ns() // 1_000_000
