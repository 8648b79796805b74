"""Dead letters of what a command sent, and waiting for the job."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from kafka.errors import KafkaTimeoutError

from follow.connection import Connection
from follow.to_end import KafkaUnreadable
from freshet.data import dead_letters
from freshet.data.dead_letters import SentPlaces


class Ack(NamedTuple):
    topic: str
    partition: int
    offset: int


class Consumer:
    """A client of a broker that has one partition of each topic, and then stops answering."""

    made = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        type(self).made += 1

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def fail(self, *_: Any) -> Any:
        raise KafkaTimeoutError("no answer")

    end_offsets = offsets_for_times = committed = fail

    def close(self) -> None:
        pass


def test_a_broker_that_stops_answering_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters.clients, "consumer", Consumer)
    sent, broker = SentPlaces(), Connection("localhost:1")
    sent.add(Ack("interactions", 0, 7))
    for read in (
        lambda: dead_letters.numbers(broker, ["interactions"]),
        lambda: dead_letters.summary(broker),
        lambda: dead_letters.of_sent(broker, sent, 0),
        lambda: dead_letters.wait_for_job(broker, sent, lambda _: None),
    ):
        with pytest.raises(KafkaUnreadable, match="no answer"):
            read()


def test_offsets_are_kept_as_ranges() -> None:
    sent = SentPlaces()
    offsets = [3, 4, 5, 9, 10, 40]
    for offset in offsets:
        sent.add(Ack("interactions", 1, offset))
    assert [n for n in range(60) if ("interactions", 1, n) in sent] == offsets
    assert ("interactions", 0, 3) not in sent
    assert ("items", 1, 3) not in sent
    assert sent.ends == {("interactions", 1): 41}
    assert len(sent._ranges["interactions", 1]) == 3


def test_waiting_ends_with_the_last_message_and_with_the_jobs_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = SentPlaces()
    sent.add(Ack("interactions", 0, 7))
    left = iter([8, 5, 0])
    monkeypatch.setattr(dead_letters, "POLL_S", 0.01)
    monkeypatch.setattr(dead_letters.clients, "consumer", Consumer)
    monkeypatch.setattr(Consumer, "made", 0)
    monkeypatch.setattr(dead_letters, "_behind", lambda *_: next(left))
    seen: list[int] = []
    assert dead_letters.wait_for_job(Connection("localhost:1"), sent, seen.append, patience_s=5)
    assert seen == [8, 5, 0]
    assert Consumer.made == 1, "one for all the time"
    monkeypatch.setattr(dead_letters, "_behind", lambda *_: 3)
    assert not dead_letters.wait_for_job(Connection("localhost:1"), sent, seen.append, patience_s=0.05)
