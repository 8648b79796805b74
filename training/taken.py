"""The log of a running stack: what the archive has of accepted events, and what Kafka holds beyond it."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from follow import to_end
from follow.connection import Connection
from follow.to_end import KafkaUnreadable, Message
from operators.contract import Record
from operators.time import DEFAULT_LATENESS
from schemas import messages
from schemas.errors import EventError
from schemas.events import Event, Item, User
from schemas.topics import IMPRESSIONS, INTERACTIONS, ITEMS, USERS
from training import archive
from training.accepted import Log
from training.log import PATIENCE_S, LogError

GAPS = 100_000
"""offsets of a partition, up to the last archived one, among which events may be missing from the archive"""


class TakenLog:
    """Reads the log once: `log` has the accepted events, `invalid` is how many messages break the contract."""

    def __init__(
        self,
        connection: Connection,
        archived: Iterable[Path] = (),
        lateness: int | None = DEFAULT_LATENESS,
        opt_in: bool = False,
    ) -> None:
        """`archived` are finished files of accepted events. The job's admission rules are applied to what Kafka has
        after them, as the job will apply them. Consent is what the topic of profiles says now, whatever the archive
        says. `lateness` in ms; `opt_in` as for `Log.taken`.

        Raises LogError where Kafka cannot be read.
        """
        self.invalid = 0
        self._connection = connection
        self._archived = archived
        self._consent: dict[str, bool] = {}
        try:
            items, since = self._items()
            self.log = Log.taken(
                self._records(), items, since, lateness=lateness, opt_in=opt_in, withdrawn=self._withdrawn()
            )
        except KafkaUnreadable as error:
            raise LogError(f"{error} (`freshet up`)") from None

    def _records(self) -> Iterator[Record]:
        archived: defaultdict[tuple[str, int], array[int]] = defaultdict(lambda: array("q"))
        for record in archive.read(self._archived):
            archived[record.topic, record.partition].append(record.offset)
            yield record
        # What waits in the job while others leave is archived with a later checkpoint: near its end there are gaps.
        gaps_from = {place: max(offsets) - GAPS for place, offsets in archived.items()}
        known = {place: {n for n in offsets if n > gaps_from[place]} for place, offsets in archived.items()}
        rest: list[Record] = []
        for topic in (USERS, IMPRESSIONS, INTERACTIONS):
            for message, event in self._read(topic):
                if isinstance(event, User) and event.consent is not None:
                    self._consent[event.user_id] = event.consent
                place = topic, message.partition
                if message.offset > gaps_from.get(place, -1) and message.offset not in known.get(place, ()):
                    assert not isinstance(event, Item)
                    rest.append(Record(event, topic, message.partition, message.offset, message.arrived))
        yield from sorted(rest, key=lambda record: record.arrived)  # across topics, by the broker's clock

    def _withdrawn(self) -> Iterator[str]:
        """Iterated once all records have been."""
        yield from (user_id for user_id, given in self._consent.items() if not given)

    def _items(self) -> tuple[list[Item], dict[str, int]]:
        """The catalogue, and when the earliest version of each entry that the topic still has was stored."""
        items: dict[str, Item] = {}
        since: dict[str, int] = {}
        for message, event in self._read(ITEMS):
            assert isinstance(event, Item)
            items[event.item_id] = event
            since.setdefault(event.item_id, message.arrived)
        return list(items.values()), since

    def _read(self, topic: str) -> Iterator[tuple[Message, Event]]:
        for message in to_end.read(self._connection, [topic], patience_s=PATIENCE_S):
            try:
                yield message, messages.read(topic, message.key, message.value)
            except EventError:
                self.invalid += 1
