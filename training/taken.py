"""Reads the log of a running stack: the archive of accepted events, then the later messages in Kafka."""

from __future__ import annotations

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
        self._reached: dict[tuple[str, int], int] = {}
        self._consent: dict[str, bool] = {}
        try:
            items, since = self._items()
            self.log = Log.taken(
                self._records(), items, since, lateness=lateness, opt_in=opt_in, withdrawn=self._withdrawn()
            )
        except KafkaUnreadable as error:
            raise LogError(f"{error} (`freshet up`)") from None

    def _records(self) -> Iterator[Record]:
        for record in archive.read(self._archived):
            place = record.topic, record.partition
            self._reached[place] = max(record.offset, self._reached.get(place, -1))
            yield record
        for topic in (USERS, IMPRESSIONS, INTERACTIONS):
            for message, event in self._read(topic):
                if isinstance(event, User) and event.consent is not None:
                    self._consent[event.user_id] = event.consent
                if message.offset > self._reached.get((topic, message.partition), -1):
                    yield Record(event, topic, message.partition, message.offset, message.arrived)

    def _withdrawn(self) -> Iterator[str]:
        """Iterated once all records have been."""
        yield from (user_id for user_id, given in self._consent.items() if not given)

    def _items(self) -> tuple[list[Item], dict[str, int]]:
        """The catalogue, and when each entry was stored: its last version, as the topic is compacted."""
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
