"""Reading the log from files and from Kafka."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from follow import to_end
from follow.connection import Connection
from follow.to_end import Message
from schemas import codec
from schemas.errors import EventError
from schemas.events import Impression, Interaction, Item, User
from streams import wire
from training import log as log_module
from training.log import EventLog, LogError, from_files, from_kafka

if TYPE_CHECKING:
    from freshet.local.stack import Stack

T = 1_767_225_600_000
CLICK = (
    b'{"event_id": "e1", "event_type": "click", "user_id": "u", "item_id": "i", "timestamp": "2026-01-01T00:00:00Z"}'
)


def test_files_plain_and_gzip_with_bad_lines_counted(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(CLICK + b"\n\n" + b'{"event_id": 1}\n' + b"not json\n")
    packed.write_bytes(gzip.compress(b'{"item_id": "i", "title": "Heat"}\n'))
    log = from_files([plain], [packed])
    assert log.interactions == [Interaction("e1", "click", "u", T, "i")]
    assert log.items == {"i": Item("i", "Heat")}
    assert log.invalid == 2


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="No such file"):
        from_files([tmp_path / "absent.jsonl"])
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(CLICK * 100)[:-20])
    with pytest.raises(LogError, match=r"broken\.gz"):
        from_files([broken])


def test_the_last_entry_of_an_item_holds() -> None:
    log = EventLog()
    for event in (Item("i", "old"), Item("i", "new"), User("u"), Impression("r", "u", T, ["i"])):
        log.add(event)
    assert log.items["i"].title == "new"
    assert (len(log.users), len(log.impressions), log.interactions) == (1, 1, [])


def test_an_address_that_is_none() -> None:
    with pytest.raises(LogError, match="Kafka at"):
        from_kafka(Connection("nonsense:port:0"))


def message(topic: str, key: str, value: bytes | None) -> Message:
    return Message(topic, 0, 0, key.encode(), value)


def test_messages_are_taken_and_refused_as_in_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    click, profile = Interaction("e1", "click", "u1", T, "i1"), User("u1", {"age": 30}, ["a"], consent=False)
    topic_of = {
        "interactions": [
            message("interactions", "u1", codec.encode(click)),
            message("interactions", "u2", codec.encode(click)),
            message("interactions", "u1", None),
            message("interactions", "u1", b"junk"),
        ],
        "items": [
            message("items", "i1", codec.encode(Item("i1", "Heat"))),
            message("items", "i2", codec.encode(Item("i2", "Ran"))),
            message("items", "i2", None),
            message("items", "i9", codec.encode(Item("i3"))),
        ],
        "users": [message("users", "u1", codec.encode(profile)), message("users", "u1", None)],
    }
    monkeypatch.setattr(to_end, "read", lambda _, topics, **__: topic_of.get(topics[0], []))
    log = from_kafka(Connection("kafka:9092"))
    assert log.interactions == [click]
    assert log.items == {"i1": Item("i1", "Heat"), "i2": Item("i2", available=False)}
    assert log.users == {"u1": User("u1", consent=False)}, "a deletion takes the profile and grants nothing"
    assert log.invalid == 4
    for topic, messages in topic_of.items():  # each as the job has it
        for each in messages:
            try:
                wire.records((each.key.decode(), each.value, topic, 0, 0, 0))  # type: ignore[union-attr]
            except EventError:
                log.invalid -= 1
    assert log.invalid == 0


def test_a_real_broker(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka import KafkaProducer

    monkeypatch.setattr(log_module, "PATIENCE_S", 20.0)
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka)
    before = from_kafka(stack.settings.connection)
    for k in range(50):
        event = Interaction(f"log-{k}", "click", f"u{k}", T + k, "i")
        producer.send("interactions", codec.encode(event), f"u{k}".encode())
    producer.send("interactions", b"junk", b"u")
    producer.flush()
    producer.close()
    after = from_kafka(stack.settings.connection)
    assert len(after.interactions) - len(before.interactions) == 50
    assert after.invalid - before.invalid == 1
