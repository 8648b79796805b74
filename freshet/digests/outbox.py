"""Writes digests and their impressions to Kafka in transactions, and reads what was sent.

A batch is written whole or not at all. The transactional id is the channel's: a run that starts fences off one that is
still there, and aborts what a run that crashed left open. So of one channel nothing is written that the run which
writes it has not checked against everything written before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from follow.connection import Connection
from freshet.errors import DigestsError
from schemas import codec
from schemas.digests import Digest
from schemas.errors import EventError, FreshetError
from schemas.events import Impression
from schemas.topics import DIGESTS, PARTITIONER, key_of, topic_of

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
OPEN_MS = 10_000
"""for how long a transaction may be open: readers of committed messages wait for it"""
COMMIT_TRIES = 3
Pair = tuple[Digest, Impression]


class Outbox:
    """The topics `digests` and `impressions`, for one channel."""

    def __init__(self, connection: Connection, channel: str, alone: bool = True) -> None:
        """Fences off other runs of the channel; with `alone` False it does not, and can only read. Raises DigestsError
        where Kafka does not answer."""
        self._connection, self._channel = connection, channel
        self._producer = Producer(
            {
                **connection.librdkafka(),
                "transactional.id": f"freshet-digests-{channel}",
                "transaction.timeout.ms": OPEN_MS,
                "partitioner": PARTITIONER,
                "linger.ms": 5,
                "message.timeout.ms": OPEN_MS,
                "message.max.bytes": codec.MAX_MESSAGE_BYTES,
                "log_level": 2,
            }
        )
        try:
            connection.reach()
        except OSError as error:
            raise DigestsError(f"Kafka at {connection}: {error}; is it up?") from None
        if not alone:
            return
        try:
            self._producer.init_transactions(TIMEOUT_S)
        except KafkaException as error:
            raise DigestsError(f"Kafka at {connection}: {error.args[0].str()}; is it up?") from None

    def commit(self, batch: Sequence[Pair]) -> None:
        """Writes all of these digests and impressions, or none. Raises DigestsError where they were not written, or
        Kafka does not say so: the run can be started again."""
        try:
            self._producer.begin_transaction()
            for digest, impression in batch:
                self._produce(digest)
                self._produce(impression)
            self._end()
        except (KafkaException, BufferError) as error:
            raise self._failed(error) from None

    def _end(self) -> None:
        """Commits; a broker that has not answered may have done so, and is asked again."""
        tries = 1
        while True:
            try:
                return self._producer.commit_transaction(TIMEOUT_S)
            except KafkaException as error:
                if not error.args[0].retriable() or tries == COMMIT_TRIES:
                    raise
                log.warning("a batch is not committed yet: %s", error.args[0].str())
            tries += 1

    def _produce(self, event: Digest | Impression) -> None:
        self._producer.produce(topic_of(event), codec.encode(event), key_of(event))

    def _failed(self, error: Exception) -> DigestsError:
        fenced = DigestsError(f"another run of the channel {self._channel} has started: this one has ended")
        if _is_fenced(error):
            return fenced
        try:
            self._producer.abort_transaction(TIMEOUT_S)
        except KafkaException as not_aborted:
            if _is_fenced(not_aborted):
                return fenced
            # A commit may have been made without an answer; otherwise the broker aborts the transaction by itself.
            log.warning("the transaction was not aborted: %s", not_aborted)
            return DigestsError(
                f"Kafka may not have stored a batch: {error}. Start the run again: what was stored is not sent twice"
            )
        return DigestsError(f"Kafka has not stored a batch, and nothing of it: {error}. Start the run again")

    def sent(self, since: int) -> Iterator[Digest]:
        """The digests of all channels that the broker has had since `since`, epoch ms, up to now; messages that are
        none are left out with a warning. While a transaction of another channel is open, what was committed behind it
        is waited for, until the broker ends the transaction. Raises DigestsError where they cannot be read to the
        end."""
        reader, ends = self._consumer("read_committed"), self._consumer("read_uncommitted")
        try:
            yield from self._read(reader, since, self._ends(ends))
        except KafkaException as error:
            raise DigestsError(f"topic {DIGESTS} at {self._connection}: {error.args[0].str()}") from None
        finally:
            reader.close()
            ends.close()

    def _consumer(self, isolation: str) -> Consumer:
        return Consumer(
            {
                **self._connection.librdkafka(),
                "group.id": f"freshet-digests-{self._channel}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": isolation,
                "log_level": 2,
            }
        )

    def _ends(self, asked: Consumer) -> dict[int, int]:
        """The offset behind the last message of each partition. A consumer of committed messages would not say it: its
        end is the first open transaction."""
        found = asked.list_topics(DIGESTS, TIMEOUT_S).topics[DIGESTS]
        if found.error is not None:
            raise DigestsError(f"topic {DIGESTS}: {found.error.str()}; `freshet up` creates it")
        return {
            number: asked.get_watermark_offsets(TopicPartition(DIGESTS, number), TIMEOUT_S)[1]
            for number in found.partitions
        }

    def _read(self, reader: Consumer, since: int, ends: dict[int, int]) -> Iterator[Digest]:
        asked = [TopicPartition(DIGESTS, number, since) for number in ends]
        reader.assign(reader.offsets_for_times(asked, TIMEOUT_S))
        left, deadline = set(ends), time.monotonic() + TIMEOUT_S
        while left:
            message: Any = reader.poll(max(0.0, deadline - time.monotonic()))
            if message is None:
                raise DigestsError(f"topic {DIGESTS}: no answer within {TIMEOUT_S:.0f} s")
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if message.offset() >= ends[message.partition()]:
                    left.discard(message.partition())
                continue
            deadline = time.monotonic() + TIMEOUT_S
            kind, arrived = message.timestamp()
            if kind != TIMESTAMP_NOT_AVAILABLE and arrived < since:
                continue
            try:
                yield codec.decode(DIGESTS, message.value() or b"")
            except (EventError, FreshetError) as error:
                log.warning("%s %d@%d is no digest: %s", DIGESTS, message.partition(), message.offset(), error)


def _is_fenced(error: Exception) -> bool:
    fault = error.args[0] if error.args else None
    return isinstance(fault, KafkaError) and fault.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED)
