"""Loads a person's features and applies their own events that the store does not show yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache
from msgspec import Struct

from feature_repo import views
from operators import own_rows
from operators.aggregator import ATTRIBUTES, REBUILD, STATE, KeyedState, readable
from operators.contract import Record, Space, World
from operators.keyed import UserOperator
from operators.time import DEFAULT_LATENESS
from recommend.controls import with_interests
from schemas.clock import now_ms
from schemas.errors import EventError, StateError
from schemas.events import User
from schemas.topics import INTERACTIONS, USERS
from serving.own_events import OwnEvents, reached
from serving.pairs import PersonsPairs
from serving.store import Store, StoreAway
from serving.tokens import Token

log = logging.getLogger(__name__)

Features = Mapping[str, Any]
NAMES = [f.name for f in views.user.fields]
ROWS_KEPT = 1000
"""people whose last row is kept for when the store is away"""
ROW_MS = 10 * 60_000
"""maximum age of such a row, from when it was read. A restart or a failover of the store takes less. An older row would
have windows that are over, and consent that may have been withdrawn through another server since: the person gets a
stranger's answer, and none of it is logged"""
EMBEDDED = 10_000
"""people whose row is of an older space, and whose vectors in others are kept"""
SPACES = 4
"""vectors of one such person that are kept: models of so many spaces may serve at once"""


OLDER, OTHER = "older_version", "other_declaration"


class Freshness(Struct, frozen=True):
    """How fresh the features behind an answer are."""

    last_event_at: int | None
    """time of the latest event in them, epoch ms"""
    applied_offset: int | None
    """Kafka offset of the last interaction in them"""
    lag_ms: int
    """age of the oldest event that this server wrote and the store's row lacks, 0 where it lacks none"""
    caught_up: bool
    """whether all of the person's events that the request's token names are in them"""


class Person(NamedTuple):
    """Features as of now."""

    features: Features
    freshness: Freshness
    degraded: bool
    """whether the store did not answer, or ceased to while it was waited for, or the row is of an older version"""
    pairs: PersonsPairs
    row_offset: int
    """of the last interaction in the store's row, -1 where there is none"""
    own_offsets: list[int]
    """those of this server's that were put on top of it"""
    consent: bool
    """whether what they are shown may be logged: False too where the store did not say"""


class Embedded(NamedTuple):
    """A person's vectors in other spaces than the row's."""

    place: tuple[int, int]
    """partition and offset of the last interaction in the row that they were made of"""
    by_space: dict[str, Features]


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
        opt_in: bool = False,
        on_unreadable: Callable[[str], object] = lambda reason: None,
    ) -> None:
        """`issuer` is this server's name in tokens; `clock` gives epoch ms; `lateness` is the job's allowed one, ms;
        `opt_in` says that a person who has not spoken of consent has not given it; `on_unreadable(reason)` is called
        with the reason for which a row, or the state in it, cannot be used: OLDER or OTHER."""
        self._store = store
        self._own = own
        self._world = world
        self._issuer = issuer
        self._wait_s, self._poll_s = wait_ms / 1000, poll_ms / 1000
        self._opt_in = opt_in
        self._operator = UserOperator(views.user, world, lateness, opt_in, views.user_controls, views.user_follows)
        self._clock = clock or now_ms
        self._on_unreadable = on_unreadable
        self._last: LRUCache[str, tuple[int, Features]] = LRUCache(ROWS_KEPT)
        """when a row was read, epoch ms, and the row"""
        self._embedded: LRUCache[str, Embedded] = LRUCache(EMBEDDED)

    async def person(
        self,
        user_id: str,
        after: Token | None = None,
        space: Space | None = None,
        attributes: bool = False,
        shown: bool = False,
    ) -> Person:
        """The person's features, those of their events in the token `after` included where that can be; their vector is
        in `space`, that of the model that the request is answered with. Of the store's row, the profile's
        attributes and what was shown are read only where asked for.

        Of a person without consent they are a stranger's, and this server drops what it holds of them.
        """
        space = space or self._world.space
        row, degraded = self._read(user_id, attributes, shown)
        caught_up = after is None or self._covered(user_id, row, after)
        if after is not None and not caught_up and not degraded:
            row, caught_up, degraded = await self._wait(user_id, row, after, attributes, shown)
        now = self._clock()
        pending = self._own.pending(user_id, row)
        features, owed = (
            self._applied(user_id, row, pending, now, space) if pending else (self._in_space(user_id, row, space), [])
        )
        # What this server alone has may be older than a withdrawal through another one.
        known = row is not None or not degraded or any(_grants(record.event) for record in owed)
        if features is None:
            features = views.DEFAULTS
        caught_up = caught_up and not (degraded and after is not None and not pending)
        if not self._consents(features):
            self._drop(user_id, row)
            freshness, pairs = Freshness(None, None, 0, caught_up), PersonsPairs(self._store, user_id, False)
            return Person(_unknown(), freshness, degraded, pairs, -1, [], False)
        self._own.allow(user_id)
        lag = max(0, now - min(record.arrived for record in owed)) if owed else 0
        freshness = Freshness(
            features["last_event_at"] or None,
            features["applied_offset"] if features["applied_offset"] >= 0 else None,
            lag,
            caught_up,
        )
        pairs = PersonsPairs(self._store, user_id, True)
        row_offset = -1 if row is None else row["applied_offset"]
        own_offsets = [record.offset for record in owed if record.topic == INTERACTIONS]
        return Person(with_interests(features), freshness, degraded, pairs, row_offset, own_offsets, known)

    def _consents(self, features: Features) -> bool:
        return bool(features["consent"] and (features["consent_given"] or not self._opt_in))

    def _drop(self, user_id: str, row: Features | None) -> None:
        """Drops what is held of a person without consent, but for a row that says so: it is needed while the store is
        away."""
        self._own.withdraw(user_id)
        self._embedded.pop(user_id, None)
        if row is not None and self._consents(row):
            self._last.pop(user_id, None)

    def _read(self, user_id: str, attributes: bool, shown: bool) -> tuple[Features | None, bool]:
        """The person's row, and whether the store does not say it: it is away, and the last row that was read is given,
        if it was read within ROW_MS, without attributes; or the row is of an older version, and none is given."""
        try:
            row = self._store.read(user_id, attributes, shown)
        except StoreAway:
            at, last = self._last.get(user_id, (0, None))
            return (last if self._clock() - at <= ROW_MS else None), True
        if row is None:
            return None, False
        if not readable(row[STATE]):
            self._on_unreadable(OLDER)
            log.warning("the store has rows of an older version, which are not used: %s", REBUILD)
            return None, True
        self._last[user_id] = self._clock(), ({**row, ATTRIBUTES: b""} if row[ATTRIBUTES] else row)
        return row, False

    def _covered(self, user_id: str, row: Features | None, after: Token) -> bool:
        """Whether the row, with this server's own events on top, has all of the person's events in the token."""
        mine = after.issuer == self._issuer
        if mine and self._own.covers(user_id, row):
            return True
        return all(
            reached(row, topic, *place) or (mine and topic == USERS and self._own.has_profile(user_id, *place))
            for topic, *place in after.wanted(user_id)
        )

    async def _wait(
        self, user_id: str, row: Features | None, after: Token, attributes: bool, shown: bool
    ) -> tuple[Features | None, bool, bool]:
        """The row once it has the token's events or the time is over, whether it has them, and whether the store is
        away."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        while loop.time() < deadline:
            await asyncio.sleep(self._poll_s)
            found, degraded = self._read(user_id, attributes, shown)
            if degraded:
                return row, False, True
            row = found
            if self._covered(user_id, row, after):
                return row, True, False
        return row, False, False

    # -- the operator --------------------------------------------------------------------------

    def _applied(
        self, user_id: str, row: Features | None, pending: list[Record], now: int, space: Space
    ) -> tuple[Features, list[Record]]:
        """The row with `pending` put on top, and those of them that could be."""
        operator = self._operator
        state = operator.new() if row is None else self._state_of(row)
        if state is None:
            assert row is not None
            return row, []
        taken = []
        states = {"": state, **operator.parts_of_row(row or {})}
        for record in pending:
            try:
                for part in operator.parts(user_id, record):
                    operator.on_event(part, states[part], record)
            except EventError:
                # The stream will say the same of it, so the row will never show it.
                self._own.forget(user_id, record)
            else:
                taken.append(record)
                for part in operator.dropped(user_id, states):
                    states[part] = operator.new(part)
        operator.embed(state, space)
        # Declared features are as fresh as the store: their states are the stream's alone.
        found = {**(row or {}), **self._row(user_id, state, now)}
        for part, names in own_rows.NAMES.items():
            found.update(zip(names, operator.row(user_id, part, states[part], now).values, strict=True))
        return found, taken

    def _in_space(self, user_id: str, row: Features | None, space: Space) -> Features | None:
        """The row with its vector in `space`. A bundle can be newer than the person's last event, and several serve."""
        if row is None or row["vector_space"] == space.id or not row["recent_items"]:
            return row
        place = row["applied_partition"], row["applied_offset"]
        known = self._embedded.get(user_id)
        if known is None or known.place != place:
            known = self._embedded[user_id] = Embedded(place, {})
        found = known.by_space.get(space.id)
        if found is None:
            state = self._state_of(row)
            if state is None:
                return row
            self._operator.embed(state, space)
            found = self._operator.vector(state)
            found["vector"] = np.array(found["vector"], np.float32)  # a list would take eight times the memory
            if any(space.vector(item_id) is None for item_id in row["recent_items"]):
                return {**row, **found}  # items may join the space later: not kept
            while len(known.by_space) >= SPACES:
                del known.by_space[next(iter(known.by_space))]
            known.by_space[space.id] = found
        return {**row, **found}

    def _state_of(self, row: Features) -> KeyedState | None:
        """None where a job of another declaration wrote the row and has not written it again: its features still
        hold."""
        try:
            return self._operator.of_row(row)
        except StateError as error:
            self._on_unreadable(OTHER)
            log.warning("the state in a row cannot be used: %s", error)
            return None

    def _row(self, user_id: str, state: KeyedState, now: int) -> Features:
        row = self._operator.row(user_id, "", state, now)
        return dict(zip(NAMES, row.values, strict=True))


def _grants(event: object) -> bool:
    return isinstance(event, User) and event.consent is True


def _unknown() -> Features:
    """Somebody who has not agreed to personalization gets what a stranger gets."""
    return {**views.DEFAULTS, "consent": False}
