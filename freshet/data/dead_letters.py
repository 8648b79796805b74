"""Reads and counts dead letters: those of the messages that one command sent, and those of all topics."""

import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Protocol

from follow import clients, to_end
from follow.connection import Connection
from schemas import topics

DUPLICATE = "duplicate"
"""the reason that says nothing is lost: the event was accepted before under its id"""
SUMMARIZED = 10_000
"""letters of a topic whose reasons `summary` counts: the latest"""
POLL_S = 0.5
SKEW_MS = 60_000
"""how far the clock of the broker, which dates dead letters, may be behind this machine's"""
PATIENCE_S = 120.0
"""how long the job may take no message before waiting for it ends"""

Place = tuple[str, int]
"""topic, partition"""


class Acknowledged(Protocol):
    """The delivery report of an acknowledged message."""

    @property
    def topic(self) -> str: ...

    @property
    def partition(self) -> int: ...

    @property
    def offset(self) -> int: ...


class SentPlaces:
    """Offsets of the messages that one command sent, as ranges for each partition: a lone producer gives one range."""

    def __init__(self) -> None:
        self._ranges: dict[Place, list[list[int]]] = {}

    def add(self, message: Acknowledged) -> None:
        ranges = self._ranges.setdefault((message.topic, message.partition), [])
        if ranges and ranges[-1][1] == message.offset:
            ranges[-1][1] += 1
        else:
            ranges.append([message.offset, message.offset + 1])

    def __contains__(self, place: tuple[str, int, int]) -> bool:
        topic, partition, offset = place
        ranges = self._ranges.get((topic, partition), [])
        at = bisect_right(ranges, offset, key=lambda each: each[0]) - 1
        return at >= 0 and offset < ranges[at][1]

    @property
    def ends(self) -> dict[Place, int]:
        """The offset after the last message of each partition."""
        return {place: ranges[-1][1] for place, ranges in self._ranges.items()}


def numbers(connection: Connection, of: Iterable[str]) -> dict[str, int]:
    """How many dead letters each of these topics has. Raises KafkaUnreadable."""
    with _reading(connection), closing(_consumer(connection)) as client:
        found = {}
        for topic in of:
            partitions = clients.partitions(client, [topics.dlq(topic)])
            ends, starts = client.end_offsets(partitions), client.beginning_offsets(partitions)
            found[topic] = sum(ends[each] - starts[each] for each in partitions)
        return found


def wait_for_job(
    connection: Connection, sent: SentPlaces, left: Callable[[int], object], patience_s: float = PATIENCE_S
) -> bool:
    """Waits until a checkpoint of the job covers what was sent; `left` is called with the number of messages that none
    covers yet. False where the job processes none for `patience_s`. Raises KafkaUnreadable."""
    from kafka import TopicPartition

    groups: dict[str, dict[Any, int]] = {}
    for (topic, partition), end in sent.ends.items():
        source = topics.JOB_CATALOGUE if topic == topics.ITEMS else topics.JOB_EVENTS
        groups.setdefault(source, {})[TopicPartition(topic, partition)] = end
    waiting, since = -1, time.monotonic()
    with ExitStack() as opened:
        readers = [
            (opened.enter_context(closing(_consumer(connection, group_id=group))), ends)
            for group, ends in groups.items()
        ]
        while True:
            with _reading(connection):
                found = sum(_behind(client, ends) for client, ends in readers)
            left(found)
            if not found:
                return True
            if found != waiting:
                waiting, since = found, time.monotonic()
            elif time.monotonic() - since > patience_s:
                return False
            time.sleep(POLL_S)


def _behind(client: Any, ends: Mapping[Any, int]) -> int:
    """How many messages before `ends` the consumer's group has not committed."""
    return sum(max(0, end - (client.committed(partition) or 0)) for partition, end in ends.items())


def of_sent(connection: Connection, sent: SentPlaces, began: int) -> Counter[tuple[str, str]]:
    """Dead letters of the messages sent since `began`, epoch ms, by topic and reason. Raises KafkaUnreadable."""
    found: Counter[tuple[str, str]] = Counter()
    for topic in sorted({topic for topic, _ in sent.ends}):
        number = _since(connection, topic, began - SKEW_MS)
        if number:
            for letter in _letters(connection, topic, number):
                if (topic, letter["partition"], letter["offset"]) in sent:
                    found[topic, letter["reason"]] += 1
    return found


def _since(connection: Connection, topic: str, at: int) -> int:
    with _reading(connection), closing(_consumer(connection)) as client:
        partitions = clients.partitions(client, [topics.dlq(topic)])
        ends, starts = client.end_offsets(partitions), client.offsets_for_times(dict.fromkeys(partitions, at))
        # Each partition is read back from its end as far as the longest of them asks for.
        numbers = [ends[each] - start.offset for each, start in starts.items() if start is not None]
        return max(numbers, default=0) * len(partitions)


def summary(connection: Connection, last: int = SUMMARIZED) -> list[str]:
    """One line for each topic that has dead letters: how many, and the reasons of the latest `last`."""
    found = []
    for topic, number in numbers(connection, topics.EVENT_TOPICS).items():
        if number:
            reasons = Counter(letter["reason"] for letter in _letters(connection, topic, last))
            listed = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())
            among = f"of the latest {reasons.total():,}, " if reasons.total() < number else ""
            found.append(f"{topics.dlq(topic)}: {number:,} dead letters ({among}{listed})")
    return found


def _letters(connection: Connection, topic: str, last: int) -> Iterable[dict[str, Any]]:
    for message in to_end.read(connection, [topics.dlq(topic)], last):
        if message.value is not None:
            yield json.loads(message.value)


@contextmanager
def _reading(connection: Connection) -> Iterator[None]:
    """Turns what a broker that stops answering raises into KafkaUnreadable."""
    from kafka.errors import KafkaError

    try:
        yield
    except (KafkaError, OSError) as error:
        raise to_end.KafkaUnreadable(f"Kafka at {connection}: {error or type(error).__name__}") from None


def _consumer(connection: Connection, **others: Any) -> Any:
    from kafka.errors import KafkaError

    try:
        return clients.consumer(connection, **others)
    except (KafkaError, OSError, ValueError) as error:
        raise to_end.KafkaUnreadable(f"Kafka at {connection}: {error or type(error).__name__}; is it up?") from None
