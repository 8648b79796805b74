"""Events that this server wrote to Kafka lately, by person: what the store may not show yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from operators.contract import Record
from schemas.events import Interaction, User

PER_PERSON = 500
TOTAL = 100_000


class OwnEvents:
    """Bounded by number and by age; the person whose last event is oldest is forgotten first.

    Used from the event loop alone.
    """

    def __init__(self, keep_ms: float, total: int = TOTAL) -> None:
        self._keep_ms = keep_ms
        self._total = total
        self._records: OrderedDict[str, list[Record]] = OrderedDict()
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, record: Record, now: int) -> None:
        """Remembers an acknowledged interaction or profile; impressions do not change a person."""
        event = record.event
        if not isinstance(event, (Interaction, User)):
            return
        records = self._records.setdefault(event.user_id, [])
        self._records.move_to_end(event.user_id)
        records.append(record)
        self._n += 1
        if len(records) > PER_PERSON:
            del records[0]
            self._n -= 1
        while self._n > self._total or next(iter(self._records.values()))[-1].arrived < now - self._keep_ms:
            _, dropped = self._records.popitem(last=False)
            self._n -= len(dropped)
            if not self._records:
                return

    def knows(self, user_id: str) -> bool:
        """Whether anything of the person is remembered."""
        return user_id in self._records

    def forget(self, user_id: str, record: Record) -> None:
        """Drops an event of which nothing is to be expected any more."""
        records = self._records.get(user_id, [])
        if record in records:
            records.remove(record)
            self._n -= 1
            if not records:
                del self._records[user_id]

    def pending(self, user_id: str, row: Mapping[str, Any] | None) -> list[Record]:
        """What the row does not show yet, in Kafka's order."""
        records = self._records.get(user_id)
        if not records:
            return []
        return [record for record in records if not _shown(record, row)]


def _shown(record: Record, row: Mapping[str, Any] | None) -> bool:
    if row is None:
        return False
    event = record.event
    if isinstance(event, User):
        country = str(event.attributes.get("country", ""))
        stated = (list(event.interests), country, event.consent)
        return (list(row["interests"]), row["country"], row["consent"]) == stated
    return bool(row["applied_partition"] == record.partition and row["applied_offset"] >= record.offset)
