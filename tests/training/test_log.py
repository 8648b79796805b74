"""Reading the log from files and from Kafka."""

from __future__ import annotations

import gzip
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from schemas import codec
from schemas.events import Impression, Interaction, Item, User
from training import log as log_module
from training.log import EventLog, LogError, from_files, from_kafka, values

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


Partition = namedtuple("Partition", "topic partition")
Message = namedtuple("Message", "offset value")


class Consumer:
    """Two partitions: the first has a gap in its offsets and a tombstone and grows while it is read."""

    def __init__(self, stuck: bool = False) -> None:
        self.at = {0: 0, 1: 0}
        self.batches: list[Any] = (
            [] if stuck else [(0, [(0, b"a"), (3, None)], 4), (1, [(0, b"b")], 1), (0, [(4, b"later")], 5)]
        )

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1} if topic == "items" else None

    def assign(self, partitions: Any) -> None: ...

    def seek_to_beginning(self, *partitions: Any) -> None: ...

    def end_offsets(self, partitions: Any) -> dict[Any, int]:
        return {p: (4, 1)[p.partition] for p in partitions}

    def position(self, partition: Any) -> int:
        return self.at[partition.partition]

    def poll(self, timeout_ms: int, max_records: int) -> dict[Any, list[Message]]:
        if not self.batches:
            return {}
        partition, messages, self.at[partition] = self.batches.pop(0)
        from kafka import TopicPartition

        return {TopicPartition("items", partition): [Message(*m) for m in messages]}


def test_values_up_to_the_end_as_it_was() -> None:
    assert list(values(Consumer(), "items")) == [b"a", b"b"]


def test_a_topic_that_does_not_exist_is_empty() -> None:
    assert list(values(Consumer(), "absent")) == []


def test_a_broker_that_stops_answering() -> None:
    with pytest.raises(LogError, match="no answer for partition 0"):
        list(values(Consumer(stuck=True), "items"))


def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "BOOTSTRAP_MS", 500)
    with pytest.raises(LogError, match="Kafka at"):
        from_kafka("nonsense:port:0")


def test_bytes_that_are_no_event_are_counted() -> None:
    log = EventLog()
    log.take("items", [codec.encode(Item("i")), b"junk"], codec.decode)
    assert (list(log.items), log.invalid) == (["i"], 1)


def test_a_real_broker(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka import KafkaProducer

    monkeypatch.setattr(log_module, "PATIENCE", 40)
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka)
    before = from_kafka(stack.settings.kafka)
    for k in range(50):
        event = Interaction(f"log-{k}", "click", f"u{k}", T + k, "i")
        producer.send("interactions", codec.encode(event), f"u{k}".encode())
    producer.send("interactions", b"junk", b"u")
    producer.flush()
    producer.close()
    after = from_kafka(stack.settings.kafka)
    assert len(after.interactions) - len(before.interactions) == 50
    assert after.invalid - before.invalid == 1
