"""Reads the event log from files of JSON lines, and the catalogue from Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from schemas import json_lines, json_reader, messages, topics
from schemas.errors import EventError, FreshetError, UnreadableFile
from schemas.events import Event, Impression, Interaction, Item, User

if TYPE_CHECKING:
    from follow.connection import Connection
    from follow.to_end import Message

PATIENCE_S = 10.0
"""how long the broker may say nothing before it is taken for gone"""
Entry = TypeVar("Entry")


class LogError(FreshetError):
    """The event log cannot be read."""


@dataclass
class EventLog:
    """The events that were read: the latest entry of each item and user, the others in the order of the log."""

    interactions: list[Interaction] = field(default_factory=list)
    impressions: list[Impression] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    invalid: int = 0
    """entries skipped because they break the contract"""

    def add(self, event: Event) -> None:
        """Adds one event."""
        if isinstance(event, Interaction):
            self.interactions.append(event)
        elif isinstance(event, Item):
            self.items[event.item_id] = event
        elif isinstance(event, User):
            self.users[event.user_id] = event.after(self.users.get(event.user_id))
        else:
            self.impressions.append(event)

    def take(self, topic: str, entries: Iterable[Entry], decode: Callable[[str, Entry], Event]) -> None:
        """Adds each entry that can be decoded, and counts the others."""
        for entry in entries:
            try:
                self.add(decode(topic, entry))
            except EventError:
                self.invalid += 1


def from_files(
    interactions: Iterable[Path],
    items: Iterable[Path] = (),
    users: Iterable[Path] = (),
    impressions: Iterable[Path] = (),
) -> EventLog:
    """The log in files of JSON lines, plain or gzip. Raises LogError where one cannot be read."""
    log = EventLog()
    files = {
        topics.ITEMS: items,
        topics.USERS: users,
        topics.IMPRESSIONS: impressions,
        topics.INTERACTIONS: interactions,
    }
    for topic, paths in files.items():
        for path in paths:
            try:
                log.take(topic, (line.text for line in json_lines.read(path)), json_reader.loads)
            except UnreadableFile as error:
                raise LogError(str(error)) from None
    return log


def items_from_kafka(connection: Connection) -> list[Item]:
    """The catalogue as of now. Raises LogError where the broker cannot be reached or stops answering."""
    from follow import to_end
    from follow.to_end import KafkaUnreadable

    log = EventLog()
    try:
        log.take(topics.ITEMS, to_end.read(connection, [topics.ITEMS], patience_s=PATIENCE_S), _message)
    except KafkaUnreadable as error:
        raise LogError(f"{error} (`freshet up`)") from None
    return list(log.items.values())


def _message(topic: str, message: Message) -> Event:
    return messages.read(topic, message.key, message.value)
