"""People near one another: a bounded index of those who were active last and consent, kept up to date in the
background.

The keys of `interactions` say who was active; their rows are read from the store in small batches. `users` says at once
who withdraws consent or is deleted. Where a model with another space comes into force, everybody is read again.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from follow.loop import Loop, Looping
from recommend.favourites import likes
from recommend.item_space import ItemSpace
from recommend.person_vector import vector_of
from schemas import messages
from schemas.events import User
from schemas.topics import INTERACTIONS, USERS
from serving.people_space import Near, PeopleSpace

EVERY_S = 0.05
BATCH = 40
"""people who are read at once: a few milliseconds of the interpreter"""
AGAIN_S = 30.0
"""a person is read again at the earliest after this long: then for who was active meanwhile, or had no row yet"""
TRIES = 7
"""times that somebody without a row is read again, each time after twice as long, an hour in all: the job writes it
some milliseconds later, or after many minutes where it reads a log from its beginning"""
HELD_S = 60.0
"""for how long nobody is put back who has withdrawn or was deleted: their row may say so a moment later"""
MOST_LIKES = 10
"""favourites that are kept of a person, the newest"""
LAST = 200_000
"""interactions before the start of the server whose people are read"""

Rows = Mapping[str, Mapping[str, Any]]


class PeopleIndex(Looping):
    """A follower's thread notes who is to be read, one of its own reads them, and requests search on the event loop."""

    def __init__(
        self,
        most: int,
        space: Callable[[], ItemSpace | None],
        read: Callable[[Sequence[str]], Rows],
        may_appear: Callable[[str, Mapping[str, Any]], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most` people are kept, 0 for none; `space` gives that of user vectors of the model in force; `read` gives
        fields OF_OTHERS of rows, and may raise; `may_appear` says whether the person of a row consents."""
        self._most = most
        self._space, self._read, self._may_appear, self._clock = space, read, may_appear, clock
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, int] = OrderedDict()
        """who is to be read, and how often they were read in vain; who was active last is last"""
        self._later: list[OrderedDict[str, float]] = [OrderedDict() for _ in range(TRIES + 1)]
        """when those are read again who are to be, by how often they were read in vain; the earliest first"""
        self._seen: OrderedDict[str, float] = OrderedDict()
        """when each person was read, or dropped, the oldest first"""
        self._held: OrderedDict[str, float] = OrderedDict()
        """when each was dropped who is not to be put back yet"""
        self._reading = False
        """whether the rows of some are being read"""
        self._people: PeopleSpace | None = None
        self._loop = Loop("people", self.refresh, EVERY_S)

    def __len__(self) -> int:
        """People who are kept."""
        return len(self._people) if self._people else 0

    @property
    def people(self) -> PeopleSpace | None:
        """People in the space of the model in force, if it is read already; a request reads this once."""
        people, space = self._people, self._space()
        return people if people is not None and space is not None and people.id == space.id else None

    @property
    def waiting(self) -> int:
        """How many people are still to be read, or being read, at once; not those who are read again later. All, where
        no model is in force."""
        with self._lock:
            return len(self._waiting) + self._reading

    # -- who is read -----------------------------------------------------------------------------------

    def on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Takes a record of `interactions` or `users`. Raises EventError or UnicodeDecodeError where it cannot be
        read."""
        if topic == INTERACTIONS:
            self.note(key.decode())
        elif topic == USERS:
            event = None if value is None else messages.read(topic, key, value)
            if event is None or (isinstance(event, User) and event.consent is False):
                self.drop(key.decode())
            elif isinstance(event, User) and event.consent:
                with self._lock:
                    self._held.pop(event.user_id, None)
                    self._seen.pop(event.user_id, None)
                self.note(event.user_id)

    def note(self, user_id: str) -> None:
        """Somebody was active."""
        with self._lock:
            if user_id in self._waiting:
                self._waiting.move_to_end(user_id)
            elif self._clock() - self._seen.get(user_id, -AGAIN_S) >= AGAIN_S:
                self._wait([user_id])
            else:
                self._postpone(user_id, 0)

    def drop(self, user_id: str) -> None:
        """Drops somebody who has withdrawn or was deleted, from the next answer on."""
        with self._lock:
            self._waiting.pop(user_id, None)
            for later in self._later:
                later.pop(user_id, None)
            self._held[user_id] = self._clock()
            self._held.move_to_end(user_id)
        if self._people is not None:
            self._people.remove(user_id)

    def refresh(self) -> None:
        """Reads the next batch, those first who were active last. Raises what `read` raises; then they are read
        later."""
        space, now = self._space(), self._clock()
        with self._lock:
            while self._held and next(iter(self._held.values())) <= now - HELD_S:
                self._held.popitem(last=False)
            for tries, later in reversed([*enumerate(self._later)]):  # those with the fewest are read first
                while later and next(iter(later.values())) <= now:
                    user_id, _ = later.popitem(last=False)
                    if user_id not in self._waiting:
                        self._wait([user_id], tries)
        if space is None:
            return
        people = self._people
        if people is None or people.id != space.id:
            people = self._people = PeopleSpace(space.id, space.dim, self._most)
            with self._lock:
                active, self._waiting = [*self._waiting], OrderedDict()
                self._wait([*self._seen, *active])
        with self._lock:
            batch = dict(self._waiting.popitem() for _ in range(min(BATCH, len(self._waiting))))
            self._reading = bool(batch)
        if not batch:
            return
        try:
            self._read_batch(people, space, batch, now)
        finally:
            self._reading = False

    def _read_batch(self, people: PeopleSpace, space: ItemSpace, batch: dict[str, int], now: float) -> None:
        try:
            rows = self._read([*batch])
        except BaseException:
            with self._lock:
                for user_id, tries in reversed(batch.items()):
                    self._wait([user_id], tries)
            raise
        for user_id, tries in reversed(batch.items()):
            if user_id not in rows and tries < TRIES:
                with self._lock:
                    self._postpone(user_id, tries + 1)
            self._take(people, space, user_id, rows.get(user_id), now)

    def _postpone(self, user_id: str, tries: int) -> None:
        """Who is to be read again, after AGAIN_S or, where they were read in vain, longer each time; no more than are
        kept: who was read in vain most often, and is due last, is dropped first. Needs the lock."""
        at = self._clock() + AGAIN_S * 2 ** max(0, tries - 1)
        for later in self._later:
            if later.get(user_id, math.inf) <= at:
                return
            later.pop(user_id, None)
        self._later[tries][user_id] = at  # behind all others: each waits as long as those with as many tries
        if sum(map(len, self._later)) > self._most:
            next(later for later in reversed(self._later) if later).popitem()

    def _wait(self, user_ids: Iterable[str], tries: int = 0) -> None:
        """Who is to be read, those last who were active last; no more wait than are kept. Needs the lock."""
        for user_id in user_ids:
            self._waiting[user_id] = tries
            self._waiting.move_to_end(user_id)
        while len(self._waiting) > self._most:
            self._waiting.popitem(last=False)

    def _take(
        self, people: PeopleSpace, space: ItemSpace, user_id: str, row: Mapping[str, Any] | None, now: float
    ) -> None:
        vector = vector_of(row, space) if row is not None and self._may_appear(user_id, row) else None
        with self._lock:
            self._seen[user_id] = now
            self._seen.move_to_end(user_id)
            while len(self._seen) > self._most:
                self._seen.popitem(last=False)
        if row is None or vector is None:
            people.remove(user_id)
            return
        people.put(user_id, vector, [(sys.intern(item_id), at) for item_id, at in likes(row)[:MOST_LIKES]])
        with self._lock:
            is_held = user_id in self._held
        if is_held:  # they have withdrawn while they were read
            people.remove(user_id)

    # -- searching -------------------------------------------------------------------------------------

    def nearest(self, vector: Any, k: int, besides: str = "") -> list[Near]:
        """Up to k people nearest to a unit vector (dim,) of the space in force, without `besides`."""
        people = self.people
        if people is None or len(vector) != people.dim:
            return []
        return [near for near in people.nearest(vector, k + 1) if near.user_id != besides][:k]

    def nearest_to(self, user_id: str, row: Mapping[str, Any], k: int) -> list[Near]:
        """Up to k people nearest to the person of a row, other than themselves."""
        space = self._space()
        vector = vector_of(row, space) if space is not None and self._people else None
        return [] if vector is None else self.nearest(vector, k, user_id)
