"""Follows topics: reads them from the beginning and goes on, so that a process has a copy in memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from follow import clients
from follow.connection import Connection
from follow.loop import Loop, Looping

POLL_MS = 200
CHECK_S = 5.0
"""how often the broker is asked for the partitions and their ends: new partitions are read from then on, and a broker
that does not answer is an error. A poll alone says nothing of either"""
MOST_AT_ONCE = 5_000
PAUSE_S = 0.02
"""a pause for followers of busy topics whose records are not waited for"""

OnRecord = Callable[[str, bytes, bytes | None], object]
"""(topic, key, value); a value of None means that the key was deleted"""
OnTimedRecord = Callable[[str, bytes, bytes | None, int], object]
"""the same with the record's time, epoch ms"""


class Follower(Looping):
    """Feeds every record of `topics` to `on_record`, from the first or the `last` ones, in a thread of its own.

    It goes on after any error. One of the connection: it connects again after a pause and resumes where it was. One of
    `on_record`: the record is skipped and counted. `health` says so.
    """

    def __init__(
        self,
        connection: Connection,
        topics: Sequence[str],
        on_record: OnRecord | OnTimedRecord,
        on_caught_up: Callable[[], object] = lambda: None,
        poll_ms: int = POLL_MS,
        last: int | None = None,
        times: bool = False,
        pause_s: float = 0.0,
    ) -> None:
        """`on_caught_up` is called once, in the same thread, when every record that existed at the start is read; with
        `last`, only about so many of each topic's, the latest. With `times`, `on_record` is one with times.
        `pause_s` is the least time between two polls that find records: with hundreds of records a second, one fetch
        each takes the processor more time, here and at the broker, than the records do."""
        self._pause_s = pause_s
        self._connection = connection
        self._topics = topics
        self._on_record: Callable[..., object] = on_record
        self._times = times
        self._on_caught_up = on_caught_up
        self._poll_ms = poll_ms
        self._last = last
        self._consumer: KafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._checked = self._found_at = 0.0
        self._complete = False
        self._told = False
        self.caught_up = threading.Event()
        """set once everything that was there at the start has been read; every topic must exist for that"""
        self._loop = Loop("follow-" + "-".join(topics), self._step, on_error=self._disconnect)

    def stop(self) -> None:
        """Ends the thread and closes the connection."""
        self._loop.stop()
        if not self._loop.alive:
            self._disconnect()

    def _step(self) -> None:
        now = time.monotonic()
        if self._consumer is None:
            self._consumer = clients.consumer(
                self._connection, fetch_max_wait_ms=self._poll_ms, metadata_max_age_ms=int(CHECK_S * 1000)
            )
            self._checked = 0.0
        if not self._checked or now - self._checked > CHECK_S:
            self._check(self._consumer)
            self._checked = now
        self._poll(self._consumer)
        if self._complete and all(self._positions.get(p, 0) >= end for p, end in self._ends.items()):
            self.caught_up.set()
        if self.caught_up.is_set() and not self._told:
            self._on_caught_up()
            self._told = True

    def _check(self, consumer: KafkaConsumer) -> None:
        """Assigns new partitions. Raises where the broker does not answer, or no topic exists yet."""
        found = clients.partitions(consumer, self._topics)
        missing = sorted(set(self._topics) - {partition.topic for partition in found})
        if missing:
            problem = LookupError(f"there is no topic {', '.join(missing)} yet")
            if not found:
                raise problem
            self._loop.note(problem)
        self._complete = not missing
        if set(found) != consumer.assignment():
            consumer.assign(found)
            ends = consumer.end_offsets(found) if self._last is not None else {}
            of_topic = Counter(partition.topic for partition in found)
            for partition in found:
                # Of partitions that are added later, all is read: they are new.
                new = self._last is not None and not self.caught_up.is_set() and partition not in self._positions
                first = max(0, ends[partition] - (self._last or 0) // of_topic[partition.topic]) if new else 0
                consumer.seek(partition, self._positions.get(partition, first))
        ends = consumer.end_offsets(found)
        if not self.caught_up.is_set():
            self._ends = {partition: self._ends.get(partition, end) for partition, end in ends.items()}

    def _poll(self, consumer: KafkaConsumer) -> None:
        """Takes what there is, after a pause where there was something a moment ago; waits where there is nothing."""
        time.sleep(max(0.0, self._found_at + self._pause_s - time.monotonic()))
        batches: dict[TopicPartition, list[Any]] = consumer.poll(timeout_ms=self._poll_ms, max_records=MOST_AT_ONCE)
        if batches and sum(map(len, batches.values())) < MOST_AT_ONCE:
            self._found_at = time.monotonic()
        for records in batches.values():
            for record in records:
                try:
                    time_of = (record.timestamp,) if self._times else ()
                    self._on_record(record.topic, record.key or b"", record.value, *time_of)
                except Exception as error:
                    self._loop.note(error, f"{record.topic}, partition {record.partition}, offset {record.offset}")
        for partition in consumer.assignment():
            self._positions[partition] = consumer.position(partition)

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()
