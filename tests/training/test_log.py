"""Reading the log from files and from Kafka."""

from __future__ import annotations

import gzip
from contextlib import suppress
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
from training.log import EventLog, LogError, from_files, items_from_kafka

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
        items_from_kafka(Connection("nonsense:port:0"))


def test_items_are_taken_and_refused_as_in_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [
        (b"i1", codec.encode(Item("i1", "Heat"))),
        (b"i2", codec.encode(Item("i2", "Ran"))),
        (b"i2", None),
        (b"i9", codec.encode(Item("i3"))),
        (b"i4", codec.encode(Interaction("e1", "click", "u1", T, "i4"))),
        (b"i5", b"junk"),
    ]
    monkeypatch.setattr(to_end, "read", lambda *_, **__: [Message("items", 0, 0, *each) for each in sent])
    found = items_from_kafka(Connection("kafka:9092"))
    taken: dict[str, Item] = {}
    for key, value in sent:
        with suppress(EventError):
            for record in wire.records((key.decode(), value, "items", 0, 0, 0)):
                assert isinstance(record.event, Item)
                taken[record.event.item_id] = record.event
    assert found == list(taken.values()) == [Item("i1", "Heat"), Item("i2", available=False)]


@pytest.mark.integration
def test_a_real_broker(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka import KafkaProducer

    monkeypatch.setattr(log_module, "PATIENCE_S", 20.0)
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka)
    sent = [Item(f"log-{k}", f"Film {k}") for k in range(50)]
    for item in sent:
        producer.send("items", codec.encode(item), item.item_id.encode())
    producer.send("items", b"junk", b"log-junk")
    producer.flush()
    producer.close()
    found = items_from_kafka(stack.settings.connection)
    ours = [item for item in found if item.item_id.startswith("log-")]
    assert sorted(ours, key=lambda item: sent.index(item)) == sent, "partitions are read in any order"
