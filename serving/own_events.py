"""Events that this server wrote to Kafka lately, by person: those that the store may not show yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from operators.contract import Record
from schemas.events import Interaction, User
from schemas.topics import INTERACTIONS, USERS

PER_PERSON = 1000
"""as many as one POST may hold"""
TOTAL = 100_000
PERSON_BYTES, TOTAL_BYTES = 4 << 20, 64 << 20
"""of events as MessagePack: in memory they take some three times as much"""

NEVER = -1
REACHED = {INTERACTIONS: ("read_partition", "read_offset"), USERS: ("profile_partition", "profile_offset")}
"""by topic, the fields that say up to where a row has it"""

_encode = msgspec.msgpack.Encoder().encode


class _Own:
    """The events of one person, in the order of writing."""

    __slots__ = ("bytes", "latest", "lost", "records", "sizes", "withdrawn")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.sizes: list[int] = []
        """of each record, bytes"""
        self.bytes = 0
        self.latest = 0
        """when the broker had the last event, epoch ms"""
        self.lost: tuple[int, int] | None = None
        """partition and offset of the last interaction that is not kept: for want of room, for its age, or since the
        person has withdrawn consent"""
        self.withdrawn = NEVER
        """when the broker had the profile that withdrew consent, epoch ms; NEVER where a later one has given it"""


class OwnEvents:
    """Bounded by number, bytes and age; the person whose last event is oldest is forgotten first.

    Used from the event loop alone.
    """

    def __init__(self, keep_ms: float, total: int = TOTAL, total_bytes: int = TOTAL_BYTES) -> None:
        self._keep_ms = keep_ms
        self._total, self._total_bytes = total, total_bytes
        self._of: OrderedDict[str, _Own] = OrderedDict()
        self._n = self._bytes = 0

    def __len__(self) -> int:
        return self._n

    @property
    def size(self) -> int:
        """Bytes of all events, as MessagePack."""
        return self._bytes

    def add(self, record: Record, now: int) -> None:
        """Takes an acknowledged interaction or profile; impressions do not change a person. Of profiles the last one
        is kept, and the last one that states consent; where that withdraws it, no interaction."""
        event = record.event
        if not isinstance(event, (Interaction, User)):
            return
        own = self._of.setdefault(event.user_id, _Own())
        self._of.move_to_end(event.user_id)
        if isinstance(event, User):
            for place in range(len(own.records) - 1, -1, -1):
                earlier = own.records[place].event
                # One that states no consent leaves that of the one before in force.
                if isinstance(earlier, User) and (event.consent is not None or earlier.consent is None):
                    self._drop(own, place)
            if event.consent is not None:
                own.withdrawn = NEVER if event.consent else record.arrived
                if not event.consent:
                    self._drop_interactions(own)
                    own.lost = None  # what was done before is of no account any more
        own.latest, oldest = record.arrived, now - self._keep_ms
        if own.withdrawn >= oldest:  # else the row shows by now whether that is still so
            if isinstance(event, Interaction):
                own.lost = record.partition, record.offset
                return
            # Of a profile without consent nothing matters but what it says of that.
            event = User(event.user_id, consent=event.consent)
            record = record._replace(event=event)
        own.records.append(record)
        own.sizes.append(len(_encode(event)))
        self._n += 1
        own.bytes += own.sizes[-1]
        self._bytes += own.sizes[-1]
        while len(own.records) > 1 and (
            len(own.records) > PER_PERSON or own.bytes > PERSON_BYTES or own.records[0].arrived < oldest
        ):
            first = own.records[0]
            if isinstance(first.event, Interaction):
                own.lost = first.partition, first.offset
            self._drop(own, 0)
        while self._of and (
            self._n > self._total or self._bytes > self._total_bytes or next(iter(self._of.values())).latest < oldest
        ):
            _, dropped = self._of.popitem(last=False)
            self._n -= len(dropped.records)
            self._bytes -= dropped.bytes

    def covers(self, user_id: str, row: Mapping[str, Any] | None) -> bool:
        """Whether the row and the events here are all that this server wrote of the person lately."""
        own = self._of.get(user_id)
        return own is not None and (own.lost is None or _reaches(row, *own.lost))

    def has_profile(self, user_id: str, partition: int, offset: int) -> bool:
        """Whether the person's profile at this place in Kafka, or a later one, is among the events here."""
        own = self._of.get(user_id)
        return own is not None and any(
            isinstance(record.event, User) and record.partition == partition and record.offset >= offset
            for record in own.records
        )

    def has_withdrawn(self, user_id: str) -> bool:
        """Whether the last profile that states the person's consent, of those here, withdrew it."""
        own = self._of.get(user_id)
        return own is not None and own.withdrawn != NEVER

    def withdraw(self, user_id: str) -> None:
        """Drops a person's interactions: their row says that they have not consented."""
        own = self._of.get(user_id)
        if own is not None:
            self._drop_interactions(own)

    def allow(self, user_id: str) -> None:
        """Keeps a person's next interactions: their row says that they have consented."""
        own = self._of.get(user_id)
        if own is not None:
            own.withdrawn = NEVER

    def forget(self, user_id: str, record: Record) -> None:
        """Drops an event that no row will show."""
        own = self._of.get(user_id)
        if own is not None and record in own.records:
            self._drop(own, own.records.index(record))
            if not own.records and own.lost is None:
                del self._of[user_id]

    def pending(self, user_id: str, row: Mapping[str, Any] | None) -> list[Record]:
        """The events that the row does not show yet, in Kafka's order."""
        own = self._of.get(user_id)
        return [] if own is None else [record for record in own.records if not shown(record, row)]

    def _drop_interactions(self, own: _Own) -> None:
        for place in range(len(own.records) - 1, -1, -1):
            record = own.records[place]
            if isinstance(record.event, Interaction):
                if own.lost is None or own.lost[0] != record.partition or own.lost[1] < record.offset:
                    own.lost = record.partition, record.offset
                self._drop(own, place)

    def _drop(self, own: _Own, place: int) -> None:
        del own.records[place]
        self._n -= 1
        size = own.sizes.pop(place)
        own.bytes -= size
        self._bytes -= size


def shown(record: Record, row: Mapping[str, Any] | None) -> bool:
    """Whether the row was written after the record had been applied, refused, or followed by a later profile.

    A person's events of one topic lie in one partition, unless producers choose partitions in different ways: then the
    broker's time says which of two profiles is the later one.
    """
    if row is None:
        return False
    if not isinstance(record.event, User):
        return _reaches(row, record.partition, record.offset)
    if row["profile_partition"] == record.partition:
        return bool(row["profile_offset"] >= record.offset)
    return bool(row["profile_offset"] >= 0 and row["profile_arrived"] >= record.arrived)


def _reaches(row: Mapping[str, Any] | None, partition: int, offset: int) -> bool:
    """Whether the interaction at this place had been applied or refused when the row was written."""
    return row is not None and bool(row["read_partition"] == partition and row["read_offset"] >= offset)


def reached(row: Mapping[str, Any] | None, topic: str, partition: int, offset: int) -> bool:
    """Whether the row reaches so far; of topics that change nobody's features every row does."""
    if topic not in REACHED:
        return True
    of, reached = REACHED[topic]
    return row is not None and bool(row[of] == partition and row[reached] >= offset)
