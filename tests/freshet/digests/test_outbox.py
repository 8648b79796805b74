"""Transactions of digests with their impressions, over a real Kafka."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from follow import to_end
from follow.connection import Connection
from freshet.digests.outbox import TIMEOUT_S, Outbox
from freshet.errors import DigestsError
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from schemas import codec
from schemas.clock import now_ms
from schemas.digests import Digest, digest_id
from schemas.events import Impression
from schemas.topics import DIGESTS, IMPRESSIONS, key_of

HOUR = 3_600_000


def pair(channel: str, user_id: str) -> tuple[Digest, Impression]:
    id, at = digest_id(channel, "p", user_id), now_ms()
    digest = Digest(id, user_id, channel, "email", "p", at, ["i1", "i2"], ["A", "B"], [0.5, 0.25], ["", "why"])
    return digest, Impression(id, user_id, at, ["i1", "i2"], "email")


def sent(outbox: Outbox, channel: str) -> list[str]:
    return sorted(each.user_id for each in outbox.sent(now_ms() - HOUR) if each.channel == channel)


@pytest.mark.integration
def test_a_batch_is_stored_whole_with_its_impressions_and_read_back(stack: Stack) -> None:
    connection, channel = stack.settings.connection, f"digested-{uuid.uuid4().hex[:8]}"
    outbox = Outbox(connection, channel)
    batch = [pair(channel, f"{channel}-{n}") for n in range(20)]
    outbox.commit(batch)
    found = [each for each in outbox.sent(now_ms() - HOUR) if each.channel == channel]
    assert sorted(found, key=lambda each: each.user_id) == sorted(
        (digest for digest, _ in batch), key=lambda each: each.user_id
    )
    assert list(outbox.sent(now_ms() + HOUR)) == []
    # A reader that counts by positions comes to the end over the marks of transactions.
    shown = {codec.decode(IMPRESSIONS, each.value or b"").request_id for each in to_end.read(connection, [IMPRESSIONS])}
    assert {impression.request_id for _, impression in batch} <= shown


@pytest.mark.integration
def test_a_new_run_ends_an_older_one_and_what_that_left_open_was_never_sent(stack: Stack) -> None:
    connection, channel = stack.settings.connection, f"digested-{uuid.uuid4().hex[:8]}"
    older = Outbox(connection, channel)
    older.commit([pair(channel, "a")])
    # Crashed within a transaction: it has sent a digest, and not committed.
    older._producer.begin_transaction()
    lost, _ = pair(channel, "b")
    older._producer.produce(DIGESTS, codec.encode(lost), key_of(lost))
    older._producer.flush(10)
    newer = Outbox(connection, channel)
    assert sent(newer, channel) == ["a"]
    newer.commit([pair(channel, "b")])
    assert sent(newer, channel) == ["a", "b"]
    with pytest.raises(DigestsError, match="another run"):
        older.commit([pair(channel, "c")])
    assert sent(newer, channel) == ["a", "b"]


@pytest.mark.integration
@pytest.mark.proof
def test_what_is_committed_behind_an_open_transaction_of_another_channel_is_waited_for(stack: Stack) -> None:
    """Readers of committed messages are given nothing behind it until the broker ends it."""
    connection, name = stack.settings.connection, uuid.uuid4().hex[:8]
    crashed, outbox = Outbox(connection, f"crashed-{name}"), Outbox(connection, f"sent-{name}")
    crashed._producer.begin_transaction()
    lost, _ = pair(f"crashed-{name}", "a")
    crashed._producer.produce(DIGESTS, codec.encode(lost), key_of(lost))
    crashed._producer.flush(10)
    outbox.commit([pair(f"sent-{name}", "a")])  # the same partition
    again = Outbox(connection, f"sent-{name}")
    started = time.monotonic()
    assert sent(again, f"sent-{name}") == ["a"]
    assert time.monotonic() - started < TIMEOUT_S
    assert sent(again, f"crashed-{name}") == []


@pytest.mark.integration
def test_what_is_no_digest_is_left_out(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    connection, channel = stack.settings.connection, f"digested-{uuid.uuid4().hex[:8]}"
    stranger = Producer(connection.librdkafka())
    stranger.produce(DIGESTS, b"hello", b"u1")
    stranger.flush(10)
    outbox = Outbox(connection, channel)
    outbox.commit([pair(channel, "a")])
    assert sent(outbox, channel) == ["a"]
    assert "is no digest" in caplog.text


class Broker:
    """A producer's broker, whose answers to commits and aborts are given: an error, or None."""

    def __init__(self, commits: list[KafkaError | None], aborts: list[KafkaError | None]) -> None:
        self.commits, self.aborts = commits, aborts

    def __call__(self, settings: dict[str, Any]) -> Broker:
        return self

    def init_transactions(self, timeout: float) -> None: ...
    def begin_transaction(self) -> None: ...
    def produce(self, *message: Any) -> None: ...

    def commit_transaction(self, timeout: float) -> None:
        self._answer(self.commits)

    def abort_transaction(self, timeout: float) -> None:
        self._answer(self.aborts)

    def _answer(self, answers: list[KafkaError | None]) -> None:
        if (error := answers.pop(0)) is not None:
            raise KafkaException(error)


LATE = KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True)
FAILED = KafkaError(KafkaError._PURGE_QUEUE, "not delivered", txn_requires_abort=True)
FATAL = KafkaError(KafkaError._FATAL, "broken", fatal=True)
FENCED = KafkaError(KafkaError._FENCED, "fenced", fatal=True)
STATE = KafkaError(KafkaError._STATE, "a commit is in progress")


@pytest.mark.parametrize(
    ("commits", "aborts", "said"),
    [
        ([LATE, LATE, None], [], None),
        ([FAILED], [None], "has not stored a batch, and nothing of it"),
        ([LATE, FAILED], [None], "has not stored a batch, and nothing of it"),
        ([LATE, LATE, LATE], [STATE], "may not have stored a batch"),
        ([FATAL], [FATAL], "may not have stored a batch"),
        ([LATE, FENCED], [], "another run of the channel email has started"),
        ([STATE], [FENCED], "another run of the channel email has started"),
    ],
)
def test_a_commit_without_an_answer_is_asked_for_again_and_never_called_lost(
    commits: list[KafkaError | None], aborts: list[KafkaError | None], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(list(commits), list(aborts))
    monkeypatch.setattr("freshet.digests.outbox.Producer", broker)
    monkeypatch.setattr(Connection, "reach", lambda self: None)
    outbox = Outbox(Settings().connection, "email")
    if said is None:
        outbox.commit([pair("email", "a")])
    else:
        with pytest.raises(DigestsError, match=said):
            outbox.commit([pair("email", "a")])
    assert (broker.commits, broker.aborts) == ([], [])


def test_a_broker_that_is_not_there_is_named() -> None:
    settings = Settings(**free_ports())
    with pytest.raises(DigestsError, match=settings.kafka):
        Outbox(settings.connection, "email")
