"""The log of a running stack: the archive, and what Kafka holds beyond it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from operators.contract import Record
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Event, Impression, Interaction, Item, User
from schemas.topics import INTERACTIONS, USERS, key_of, topic_of
from tests.training.test_archive import write
from training import archive
from training.taken import TakenLog

if TYPE_CHECKING:
    from freshet.local.stack import Stack

CENTURY = 2**42


@pytest.mark.integration
def test_a_real_log(stack: Stack, tmp_path: Path) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka)

    def send(event: Event, key: str = "") -> tuple[int, int]:
        found = producer.send(topic_of(event), codec.encode(event), key.encode() or key_of(event)).get(10)
        return found.partition, found.offset

    def clicks(log: TakenLog) -> list[str]:
        return [e.event_id for e in log.log.interactions if e.event_id.startswith("taken-")]

    now = now_ms()
    click = Interaction("taken-1", "click", "taken-u", now, "taken-i")
    partition, offset = send(click)
    archived = Record(click, INTERACTIONS, partition, offset, now, now)
    write(tmp_path, [archived])
    files = archive.finished(tmp_path)

    send(click)
    send(Interaction("taken-2", "click", "taken-u", now + 1, "taken-i"))
    send(Interaction("taken-3", "click", "taken-u", now + CENTURY, "taken-i"))
    send(Interaction("taken-4", "click", "taken-u", now, "taken-i"), key="somebody-else")
    send(Item("taken-i", "Heat"))
    send(Impression("taken-r", "taken-u", now, ["taken-i"]))
    producer.flush()

    without = TakenLog(stack.settings.connection)
    found = TakenLog(stack.settings.connection, files)
    assert clicks(found) == clicks(without) == ["taken-1", "taken-2"]
    assert found.log.refused["duplicate"] >= 1
    assert found.log.refused["too_far_in_future"] >= 1
    assert found.invalid >= 1
    assert any(shown.request_id == "taken-r" for shown in found.log.impressions)
    assert found.log.known_since["taken-i"] >= now - 60_000

    send(User("taken-u", {"age": 30}, consent=False))
    send(User("taken-u"))  # it does not speak of consent
    producer.flush()
    left = TakenLog(stack.settings.connection, files).log
    people = {e.user_id for e in (*left.interactions, *left.impressions, *left.users)}
    assert "taken-u" not in people, "withdrawn after all that the archive has"
    producer.send(USERS, None, b"taken-u").get(10)
    assert "taken-u" not in {e.user_id for e in TakenLog(stack.settings.connection, files).log.interactions}
    producer.close()
