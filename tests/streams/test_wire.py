"""Messages into records, and broken ones into letters that always fit their topic."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from operators.contract import Record, Row, Signal
from operators.item import SENT
from schemas import codec
from schemas.errors import InvalidEvent, Undecodable
from schemas.events import Interaction, Item, User
from streams import archive, wire

T0 = 1_767_225_600_000
BROKER_LIMIT = 1 << 20
CLICK = Interaction("e1", "click", "u1", T0, "i1")


def test_a_message_keeps_its_place_and_the_brokers_clock() -> None:
    (record,) = wire.records(("u1", codec.encode(CLICK), "interactions", 3, 77, 1_767_225_601_234))
    assert record == (CLICK, "interactions", 3, 77, 1_767_225_601_234, 0)


@pytest.mark.parametrize("fields", [None, SENT])
def test_news_come_back_as_they_were_sent(fields: int | None) -> None:
    sent = [
        Signal(
            "click",
            T0,
            "i1",
            "DE",
            ["i2"],
            [2, 8],
            "s1",
            ["a", "b"],
            rating=2.5,
            properties={"price": 3, "gift": True},
            context=[],
        ),
        Signal("impression", T0 + 1, "i1", partners=[], contexts=[], categories=[], context=[0.5, -1.0]),
    ]
    key, message = wire.downstream("i1", sent, fields, 1_767_225_601_234)
    assert key == "i1"
    assert message[5] == 1_767_225_601_234
    found = [record.event for record in wire.records(message) if isinstance(record.event, Signal)]
    assert [signal[:fields] for signal in found] == [signal[:fields] for signal in sent]
    assert [signal.context for signal in found] == [[] if fields is None else (), [0.5, -1.0]]


def test_messages_are_read_as_everywhere() -> None:
    assert wire.records(("i1", None, "items", 0, 0, 0))[0].event == Item("i1", available=False)
    assert wire.records(("u1", None, "users", 0, 0, 0))[0].event == User("u1")
    with pytest.raises(Undecodable):
        wire.records(("u1", None, "interactions", 0, 0, 0))
    with pytest.raises(InvalidEvent):
        wire.records(("u2", codec.encode(CLICK), "interactions", 0, 0, 0))


def test_a_letter_says_what_and_where_and_holds_the_message() -> None:
    tag, row = wire.dead_letter(("u1", b"noise", "interactions", 3, 77, 5), InvalidEvent("must be a number", "price"))
    assert tag is wire.DEAD
    key, value, topic = row
    letter = json.loads(value)
    assert (key, topic) == ("u1", "interactions.dlq")
    assert base64.b64decode(letter.pop("payload")) == b"noise"
    assert letter.pop("rejected_at") > T0
    assert letter == {
        "topic": "interactions", "partition": 3, "offset": 77, "reason": "invalid", "field": "price",
        "detail": "must be a number", "arrived_at": 5, "payload_bytes": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"), [(0, BROKER_LIMIT), (BROKER_LIMIT, 0), (BROKER_LIMIT // 2, BROKER_LIMIT // 2)]
)
def test_a_letter_fits_its_topic_however_large_the_message(key: int, value: int) -> None:
    error = InvalidEvent("\u00e9" * BROKER_LIMIT, "\u00e9" * BROKER_LIMIT)
    _, row = wire.dead_letter(("\ufffd" * key, b"x" * value, "interactions", 0, 0, 0), error)
    assert len(row[0].encode()) + len(row[1]) < BROKER_LIMIT - 1024
    assert json.loads(row[1])["payload_bytes"] == value


def test_of_declared_features_go_those_that_are_asked_for_by_name() -> None:
    row = Row("item_features", ("i1",), (1, [2.0], 3))
    assert wire.features(row)[0] == '["item_features", "i1"]'
    assert msgspec.msgpack.decode(wire.features(row)[1]) == ["item_features", ["i1"], "", [1, [2.0], 3]]
    assert msgspec.msgpack.decode(wire.features(row, ((2, "c"), (0, "a")))[1]) == [
        "item_features", ["i1"], "", {"c": 3, "a": 1},
    ]  # fmt: skip


def test_a_text_for_the_archive_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever many keys' events leave together, however large those are."""
    records = [
        Record(Interaction(f"e{n}", "search", "u1", 1_767_225_600_000, properties={"query": "x" * 50_000}))
        for n in range(100)
    ]
    texts = [row[0] for tag, row in archive.out(records) if tag is archive.ACCEPTED]
    assert max(map(len, texts)) < archive.TEXT_CHARACTERS + 60_000
    assert sum(text.count(archive.ROW) + 1 for text in texts) == 100
    assert list(archive.out([])) == []
