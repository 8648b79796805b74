"""Admits a user's events: rejects repeated, late and future ones, and enriches the rest.

Every event passes here first, keyed by its user; what is admitted is admitted exactly once, and carries the catalogue
entry of its item and the profile of its user.
"""

from __future__ import annotations

import re
from array import array
from typing import Any, Protocol

from operators.contexts import contexts_of
from operators.contract import Cells, Record, Signal, World
from operators.hashes import WIDTH, HashLog, hash64
from operators.time import DEFAULT_LATENESS, HOUR
from schemas.errors import Duplicate, InvalidEvent, StateError, TooFarInFuture, TooLate
from schemas.events import MAX_FUTURE_MS, Impression, Interaction, User

IMPRESSION = "impression"
LATEST = 8
"""ids that a row has of the last interactions, so that a server refuses what is sent twice within moments"""


class Admissions:
    """What one kind of messages of a user is deduplicated by: the latest event time, and the hashes of admitted ids by
    hour of event time. As large as the ids that a person sends within the allowed lateness: some 100 bytes each in
    memory, 8 in Flink's state.
    """

    __slots__ = ("hours", "known", "last", "latest")

    def __init__(self, latest: int = 0, last: bytes = b"") -> None:
        self.latest = latest
        self.hours: dict[int, HashLog] = {}
        self.last = array("Q", last)
        """the LATEST ids, in order of arrival"""
        self.known = set(self.last)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Admissions) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]

    def admit(self, name: str, lateness: int, id: str, at: int, arrived: int, field: str) -> None:
        """Admits a message of the kind `name`, or raises TooFarInFuture, TooLate or Duplicate, nothing changed.

        A repeated id is found while its first message is within the allowed lateness; after that the repetition itself
        is too late. So duplicates are never counted, in bounded memory.
        """
        if at > arrived + MAX_FUTURE_MS:
            raise TooFarInFuture(f"{(at - arrived) // 1000} s ahead of the broker's clock", "timestamp")
        if at < self.latest - lateness:
            raise TooLate(f"{(self.latest - at) // 1000} s behind this user's latest", "timestamp")
        hashed = hash64(id)
        if hashed in self.known:
            raise Duplicate("it was applied before under this id", field)
        if at > self.latest:
            self.latest = at
        hour = at // HOUR
        log = self.hours.get(hour)
        if log is None:
            oldest = (self.latest - lateness) // HOUR
            for expired in [h for h in self.hours if h < oldest]:
                self.known.difference_update(self.hours.pop(expired).hashes)
            log = self.hours[hour] = HashLog(f"{name}.{hour}")
        log.append(hashed)
        self.known.add(hashed)
        self.last.append(hashed)
        if len(self.last) > LATEST:
            del self.last[0]

    def cells(self) -> dict[str, bytes]:
        """Those of the logs of all hours, `<name>.<hour>`."""
        found: dict[str, bytes] = {}
        for log in self.hours.values():
            found.update(log.cells)
        return found

    @property
    def head(self) -> Head:
        return self.latest, self.last.tobytes()

    @classmethod
    def of(cls, head: Head, name: str, cells: Cells) -> Admissions:
        """What `head` and `cells` were made of. Raises StateError where they do not belong together."""
        latest, last = head
        if len(last) % WIDTH:
            raise StateError(f"{name}: {len(last)} bytes are not hashes")
        found = cls(latest, last)
        found.known = set()  # as in memory, which has forgotten the ids of hours that are over
        heads = re.compile(rf"{name}\.(-?\d+)")
        for cell in cells:
            if match := heads.fullmatch(cell):
                log = found.hours[int(match[1])] = HashLog.of(cells, cell)
                found.known.update(log.hashes)
        return found

    @classmethod
    def of_row(cls, head: Head) -> Admissions:
        """The same from a row, which has the last ids alone."""
        return cls(head[0], head[1][: len(head[1]) // WIDTH * WIDTH])


Head = tuple[int, bytes]
"""the latest time, and the packed hashes of the last ids"""


class Admitted(Protocol):
    """The state of one user's admissions: `watermark` is the latest event time of all, `profile` the attributes of the
    latest profile, all of them: declared features may read any.

    Impressions are admitted by themselves. They happen now, also to a person whose history is still being imported, and
    must not make that history too late.
    """

    watermark: int
    did: Admissions
    shown: Admissions
    profile: dict[str, Any]


class Gate:
    """Interactions, impressions and profiles of one user → signals."""

    def __init__(self, world: World, lateness: int | None = DEFAULT_LATENESS) -> None:
        """`lateness` is the allowed lateness in ms; with None everything is admitted, as archived events have been
        already."""
        self._world = world
        self._lateness = lateness

    def take(self, state: Admitted, record: Record) -> list[Signal]:
        """The record as signals: one an interaction, one a shown item of an impression, none a profile.

        Raises EventError, state untouched, where the record cannot be taken.
        """
        event = record.event
        if type(event) is Interaction:
            self._admit(state, "did", event.event_id, event.timestamp, record.arrived, "event_id")
            return [self._signal(state, record, event.event_type, event, event.item_id or "", event.properties)]
        if type(event) is Impression:
            self._admit(state, "shown", event.request_id, event.timestamp, record.arrived, "request_id")
            shown = {
                name: value
                for name in ("surface", "region", "device", "model_version", "variant")
                if (value := getattr(event, name)) is not None
            }
            return [
                self._signal(state, record, IMPRESSION, event, item_id, shown | {"position": position})
                for position, item_id in enumerate(event.items)
            ]
        if type(event) is User:
            state.profile = dict(event.attributes)
            return []
        raise InvalidEvent(f"a {type(event).__name__} does not belong to a user")

    def _admit(self, state: Admitted, kind: str, id: str, at: int, arrived: int, field: str) -> None:
        if self._lateness is not None:
            admissions: Admissions = getattr(state, kind)
            admissions.admit(kind, self._lateness, id, at, arrived, field)
        if at > state.watermark:
            state.watermark = at

    def _signal(
        self,
        state: Admitted,
        record: Record,
        event_type: str,
        event: Interaction | Impression,
        item_id: str,
        properties: dict[str, Any],
    ) -> Signal:
        item = self._world.item(item_id) if item_id else None
        rating = properties.get("rating")
        contexts: tuple[int, ...] = ()
        if type(event) is Interaction:  # impressions are no part of any popularity
            zone = properties.get("timezone") or state.profile.get("timezone")
            contexts = contexts_of(event.timestamp, zone, properties.get("device"))
        return Signal(
            event_type,
            event.timestamp,
            item_id,
            str(properties.get("region", "")).lstrip("\0"),  # parts are named by regions, or by NUL and more
            (),
            contexts,
            (event.session_id or "") if type(event) is Interaction else "",
            item.categories if item else (),
            (item.brand or "") if item else "",
            record.partition,
            record.offset,
            None,
            float(rating) if isinstance(rating, (int, float)) else None,
            event.user_id,
            event.request_id or "",
            item.price if item else None,
            item.created_at if item else None,
            properties,
            item.attributes if item else {},
            state.profile,
        )
