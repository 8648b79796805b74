"""What docs/events.md says of the encoding is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from schemas import codec
from schemas.events import Interaction
from schemas.topics import EVENT_TOPICS, PARTITIONER

TEXT = (Path(__file__).parent.parent / "docs" / "events.md").read_text()


def test_the_headers_are_those_of_the_schemas() -> None:
    said = dict(re.findall(r"^\| `(\w+)` \| `(c301 [0-9a-f]{16})` \|$", TEXT, re.MULTILINE))
    assert said.keys() == set(EVENT_TOPICS)
    for topic, header in said.items():
        assert bytes.fromhex(header) == codec.default()._headers[topic]


def test_the_partitioner_is_the_servers() -> None:
    assert f"partitioner={PARTITIONER}" in TEXT


def test_the_example_writes_what_the_codec_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, bytes, bytes]] = []
    settings: dict[str, Any] = {}

    class Producer:
        def __init__(self, given: dict[str, Any]) -> None:
            settings.update(given)

        def produce(self, topic: str, value: bytes, key: bytes) -> None:
            sent.append((topic, value, key))

        def flush(self) -> None:
            pass

    monkeypatch.setattr(confluent_kafka, "Producer", Producer)
    monkeypatch.chdir(Path(__file__).parent.parent)
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(example, {})
    ((topic, value, key),) = sent
    found = codec.decode(topic, value)
    assert isinstance(found, Interaction)
    assert (found.user_id.encode(), found.item_id) == (key, "i9")
    assert settings["partitioner"] == PARTITIONER
