"""Following compacted topics: each process keeps its own copy of the catalogue, in a thread.

This is the pattern of a global table: read to the end once, then keep reading. Whoever needs the
catalogue asks memory, never the network.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

log = logging.getLogger(__name__)

RETRY_S = 1.0
REQUEST_MS = 5_000
"""An answer that does not come is asked for again after so long; Kafka's own 30 s would hold up whoever waits."""

OnRecord = Callable[[str, bytes, bytes | None], None]
"""(topic, key, value); a value of None means that the key was deleted"""


class Follower:
    """Feeds every record of `topics` to `on_record`, from the beginning, for as long as it lives.

    `caught_up` is set once everything that was there at the start has been read. The broker may come
    and go: reading resumes where it was.
    """

    def __init__(
        self,
        kafka: str,
        topics: Sequence[str],
        on_record: OnRecord,
        on_idle: Callable[[], None] = lambda: None,
        poll_ms: int = 200,
    ) -> None:
        """`on_idle` is called in the same thread after each poll, at least every `poll_ms`."""
        self._kafka = kafka
        self._topics = topics
        self._on_record = on_record
        self._on_idle = on_idle
        self._poll_ms = poll_ms
        self._stop = threading.Event()
        self.caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow-" + "-".join(topics), daemon=True)

    def start(self) -> Follower:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        positions: dict[TopicPartition, int] = {}
        while not self._stop.is_set():
            try:
                self._follow(positions)
            except (KafkaError, OSError, ValueError) as error:
                log.warning("following %s: %s; trying again", ", ".join(self._topics), error)
                self._on_idle()
                self._stop.wait(RETRY_S)

    def _follow(self, positions: dict[TopicPartition, int]) -> None:
        knock(self._kafka)
        consumer = KafkaConsumer(
            bootstrap_servers=self._kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._poll_ms,
            request_timeout_ms=REQUEST_MS,
            bootstrap_timeout_ms=REQUEST_MS,
        )
        try:
            partitions = [
                TopicPartition(topic, number)
                for topic in self._topics
                for number in sorted(consumer.partitions_for_topic(topic) or ())
            ]
            if not partitions:
                raise ValueError("no such topic yet")
            consumer.assign(partitions)
            for partition in partitions:
                consumer.seek(partition, positions.get(partition, 0))
            ends = consumer.end_offsets(partitions)
            while not self._stop.is_set():
                for partition, records in consumer.poll(timeout_ms=self._poll_ms, max_records=5000).items():
                    for record in records:
                        self._on_record(record.topic, record.key or b"", record.value)
                    positions[partition] = records[-1].offset + 1
                if not self.caught_up.is_set() and all(consumer.position(p) >= end for p, end in ends.items()):
                    self.caught_up.set()
                self._on_idle()
        finally:
            consumer.close()


def knock(kafka: str) -> None:
    """Raises OSError where no broker of "host:port,…" listens. A client that finds none blocks for as long as it may
    and leaves sockets behind, a consumer a thread too, so none is made then."""
    refused: OSError | None = None
    for address in kafka.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
        except OSError as error:
            refused = error
        else:
            return
    raise refused or OSError("no broker is named")
