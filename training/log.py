"""Reading the event log: from Kafka up to now, or from files of JSON lines."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas import codec, json_reader, topics
from schemas.errors import EventError, FreshetError
from schemas.events import Event, Impression, Interaction, Item, User

GZIP_MAGIC = b"\x1f\x8b"
BOOTSTRAP_MS = 10_000
POLL_MS = 500
PATIENCE = 20
"""polls in a row without a message after which the broker is taken for gone"""


class LogError(FreshetError):
    """The event log cannot be read."""


@dataclass
class EventLog:
    """What was read: items and users as last told, the others in the order of the log."""

    interactions: list[Interaction] = field(default_factory=list)
    impressions: list[Impression] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    invalid: int = 0
    """entries skipped because they break the contract"""

    def add(self, event: Event) -> None:
        """Takes one event in."""
        if isinstance(event, Interaction):
            self.interactions.append(event)
        elif isinstance(event, Item):
            self.items[event.item_id] = event
        elif isinstance(event, User):
            self.users[event.user_id] = event
        else:
            self.impressions.append(event)

    def take(self, topic: str, entries: Iterable[bytes], decode: Callable[[str, bytes], Event]) -> None:
        """Adds each entry that can be decoded; counts the others."""
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
            log.take(topic, lines(path), json_reader.loads)
    return log


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that are not blank. Raises LogError."""
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == GZIP_MAGIC
            yield from (line for line in (gzip.GzipFile(fileobj=raw) if packed else raw) if line.strip())
    except (OSError, EOFError) as error:
        raise LogError(
            f"{path}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"
        ) from None


def from_kafka(address: str) -> EventLog:
    """The event topics from their beginning to their end as of now.

    Raises LogError where the broker cannot be reached or stops answering.
    """
    return _from_kafka(address, topics.EVENT_TOPICS)


def items_from_kafka(address: str) -> list[Item]:
    """The catalogue as of now. Raises LogError as `from_kafka`."""
    return list(_from_kafka(address, (topics.ITEMS,)).items.values())


def _from_kafka(address: str, wanted: Iterable[str]) -> EventLog:
    from kafka import KafkaConsumer
    from kafka.errors import KafkaError

    try:
        consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, bootstrap_timeout_ms=BOOTSTRAP_MS)
    except (KafkaError, ValueError) as error:
        raise LogError(f"Kafka at {address}: {error or type(error).__name__}; is it up? (`freshet up`)") from None
    log = EventLog()
    try:
        for topic in wanted:
            log.take(topic, values(consumer, topic), codec.decode)
    except KafkaError as error:
        raise LogError(f"Kafka at {address}: {error}") from None
    finally:
        consumer.close()
    return log


def values(consumer: Any, topic: str) -> Iterator[bytes]:
    """The values of a topic up to its end as of now, each partition in order; tombstones are left out."""
    from kafka import TopicPartition

    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        return
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    silent = 0
    # Positions, not messages, say when the end is reached: compaction and transactions leave gaps.
    while left := [p for p in partitions if consumer.position(p) < ends[p]]:
        batch = consumer.poll(timeout_ms=POLL_MS, max_records=5000)
        silent = 0 if batch else silent + 1
        if silent == PATIENCE:
            raise LogError(f"topic {topic}: no answer for partition {left[0].partition}")
        for partition, messages in batch.items():
            yield from (m.value for m in messages if m.value is not None and m.offset < ends[partition])
