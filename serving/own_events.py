"""Events that this server wrote to Kafka lately, by person: what the store may not show yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from operators.contract import Record
from schemas.events import Interaction, User

PER_PERSON = 1000
"""as many as one POST may hold"""
TOTAL = 100_000


class _Own:
    """What is remembered of one person, in the order of writing."""

    __slots__ = ("lost", "records", "settled")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.lost: Record | None = None
        """the last interaction that had to give way"""
        self.settled: Record | None = None
        """the profile that a row has shown: a later one may come through another server"""


class OwnEvents:
    """Bounded by number and by age; the person whose last event is oldest is forgotten first.

    Used from the event loop alone.
    """

    def __init__(self, keep_ms: float, total: int = TOTAL) -> None:
        self._keep_ms = keep_ms
        self._total = total
        self._of: OrderedDict[str, _Own] = OrderedDict()
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, record: Record, now: int) -> None:
        """Remembers an acknowledged interaction or profile; impressions do not change a person. Of profiles the last
        one counts: an older one would seem not to be shown for ever."""
        event = record.event
        if not isinstance(event, (Interaction, User)):
            return
        own = self._of.setdefault(event.user_id, _Own())
        self._of.move_to_end(event.user_id)
        own.records.append(record)
        self._n += 1
        if isinstance(event, User):
            said = [r.event for r in own.records[:-1] if isinstance(r.event, User)]
            record = own.records[-1] = record._replace(event=event.after(said[-1] if said else None))
            self._keep(own, [r for r in own.records if r is record or not isinstance(r.event, User)])
        oldest = now - self._keep_ms
        while len(own.records) > PER_PERSON or (len(own.records) > 1 and own.records[0].arrived < oldest):
            if isinstance(own.records[0].event, Interaction):
                own.lost = own.records[0]
            self._keep(own, own.records[1:])
        while self._n > self._total or next(iter(self._of.values())).records[-1].arrived < oldest:
            _, dropped = self._of.popitem(last=False)
            self._n -= len(dropped.records)
            if not self._of:
                return

    def covers(self, user_id: str, row: Mapping[str, Any] | None) -> bool:
        """Whether the row and what is remembered are all that this server wrote of the person lately."""
        own = self._of.get(user_id)
        return own is not None and (own.lost is None or _shown(own.lost, row))

    def forget(self, user_id: str, record: Record) -> None:
        """Drops an event of which nothing is to be expected any more."""
        own = self._of.get(user_id)
        if own is not None:
            self._keep(own, [r for r in own.records if r != record])
            if not own.records:
                del self._of[user_id]

    def pending(self, user_id: str, row: Mapping[str, Any] | None) -> list[Record]:
        """What the row does not show yet, in Kafka's order."""
        own = self._of.get(user_id)
        if own is None:
            return []
        found = []
        for record in own.records:
            if not _shown(record, row):
                found += [record] if record is not own.settled else []
            elif isinstance(record.event, User):
                own.settled = record
        return found

    def _keep(self, own: _Own, records: list[Record]) -> None:
        self._n -= len(own.records) - len(records)
        own.records = records


def _shown(record: Record, row: Mapping[str, Any] | None) -> bool:
    if row is None:
        return False
    event = record.event
    if isinstance(event, User):
        country = str(event.attributes.get("country", ""))
        consent = row["consent"] if event.consent is None else event.consent
        stated = (list(event.interests), country, consent)
        return (list(row["interests"]), row["country"], row["consent"]) == stated
    return bool(row["applied_partition"] == record.partition and row["applied_offset"] >= record.offset)
