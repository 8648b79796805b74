"""The door: who is let in, once, and what the features behind it are told.

Every event passes here first, keyed by its user; what leaves has been accepted exactly once and is
enriched with the catalogue entry of its item and the profile of its user.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from operators.contract import Record, Signal, World
from operators.history import hash64
from operators.time import DEFAULT_LATENESS, HOUR
from schemas.errors import Duplicate, InvalidEvent, TooFarInFuture, TooLate
from schemas.events import MAX_FUTURE_MS, Impression, Interaction, User

IMPRESSION = "impression"


class Door(Struct, array_like=True, gc=False):
    """What is remembered of one kind of messages of a user: the latest event time, and the hashes of accepted ids by
    hour of event time."""

    latest: int
    ids: dict[int, set[int]]

    @classmethod
    def new(cls) -> Door:
        return cls(0, {})

    def admit(self, lateness: int, id: str, at: int, arrived: int, field: str) -> None:
        """Lets the message in or raises TooFarInFuture, TooLate or Duplicate, nothing changed.

        A repeated id is caught while its first message is within the allowed lateness; after that
        the repetition itself is too late. So duplicates are never counted, in bounded memory.
        """
        if at > arrived + MAX_FUTURE_MS:
            raise TooFarInFuture(f"{(at - arrived) // 1000} s ahead of the broker's clock", "timestamp")
        if at < self.latest - lateness:
            raise TooLate(f"{(self.latest - at) // 1000} s behind this user's latest", "timestamp")
        hashed, ids = hash64(id), self.ids
        for known in ids.values():
            if hashed in known:
                raise Duplicate("it was applied before under this id", field)
        if at > self.latest:
            self.latest = at
        hour = at // HOUR
        if hour in ids:
            ids[hour].add(hashed)
        else:
            ids[hour] = {hashed}
            oldest = (self.latest - lateness) // HOUR
            for expired in [h for h in ids if h < oldest]:
                del ids[expired]


class Admitted(Protocol):
    """What is remembered of one user: `watermark` is the latest event time of all, `profile` the attributes of the
    latest profile: which of them features will read is not known beforehand.

    What somebody was shown has a door of its own. It happens now, also to a person whose history is still being
    imported, and must not make that history too late.
    """

    watermark: int
    did: Door
    shown: Door
    profile: dict[str, Any]


class Gate:
    """Interactions, impressions and profiles of one user → signals."""

    def __init__(self, world: World, lateness: int | None = DEFAULT_LATENESS) -> None:
        """`lateness` is the allowed lateness in ms; with None everything is let in, as for what had been already."""
        self._world = world
        self._lateness = lateness

    def take(self, state: Admitted, record: Record) -> list[Signal]:
        """The record as signals: one an interaction, one a shown item of an impression, none a profile.

        Raises EventError, state untouched, where the record cannot be taken.
        """
        event = record.event
        if type(event) is Interaction:
            self._admit(state, state.did, event.event_id, event.timestamp, record.arrived, "event_id")
            return [self._signal(state, record, event.event_type, event, event.item_id or "", event.properties)]
        if type(event) is Impression:
            self._admit(state, state.shown, event.request_id, event.timestamp, record.arrived, "request_id")
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

    def _admit(self, state: Admitted, door: Door, id: str, at: int, arrived: int, field: str) -> None:
        if self._lateness is not None:
            door.admit(self._lateness, id, at, arrived, field)
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
        return Signal(
            event_type,
            event.timestamp,
            item_id,
            str(properties.get("region", "")).lstrip("\0"),  # parts are named by regions, or by NUL and more
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
