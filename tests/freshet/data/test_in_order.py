"""Files of events that are not in the order of time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from freshet.data import importer, in_order
from schemas import topics
from tests.freshet.data.test_importer import Broker, event, load, write


def timed(path: Path, times: list[int], bad: dict[int, str] | None = None) -> Path:
    lines = [json.dumps(event(n, timestamp=1_700_000_000_000 + at)) for n, at in enumerate(times, 1)]
    for number, text in (bad or {}).items():
        lines.insert(number - 1, text)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_file_in_order_is_not_sorted(tmp_path: Path) -> None:
    assert not in_order.needs_sorting(topics.INTERACTIONS, timed(tmp_path / "a.jsonl", [0, 5, 5, 9], {2: "[]"}))
    assert in_order.needs_sorting(topics.INTERACTIONS, timed(tmp_path / "b.jsonl", [0, 5, 4]))


def test_lines_come_by_time_and_keep_their_numbers(tmp_path: Path) -> None:
    path = timed(tmp_path / "events.jsonl", [30, 10, 20, 10], {2: "not json"})
    with in_order.by_time(topics.INTERACTIONS, path, tmp_path / "home") as lines:
        found = [(line.place, line.number) for line in lines]
    assert found == [(1, 3), (2, 5), (3, 4), (4, 1), (5, 2)]
    assert list((tmp_path / "home").iterdir()) == []


def test_an_interrupted_import_of_a_shuffled_file_sends_each_event_once_by_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK", 10)
    times = list(range(95))
    random.Random(7).shuffle(times)
    path = timed(tmp_path / "events.jsonl", times, {40: "[]"})
    first, second = Broker(flushes=4), Broker()
    with pytest.raises(ConnectionError):
        load(path, first, tmp_path / "home")
    progress, refused = load(path, second, tmp_path / "home")
    by_time = [f"e{n}" for _, n in sorted((at, n) for n, at in enumerate(times, 1))]
    assert first.stored + second.stored == by_time
    assert (progress.accepted, progress.rejected, progress.by_time) == (95, 1, True)
    assert all(f"{path}:40: " in each for each in refused)


def test_an_import_that_was_begun_in_the_files_order_ends_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK", 10)
    path = timed(tmp_path / "events.jsonl", [3, 1, 2])
    records = importer.Records(tmp_path / "home")
    records.save(path, importer.Progress(str(path), topics.INTERACTIONS, line=1, accepted=1))
    broker = Broker()
    load(path, broker, tmp_path / "home")
    assert broker.stored == ["e2", "e3"]


def test_items_keep_the_order_of_the_file(tmp_path: Path) -> None:
    assert not in_order.needs_sorting(topics.ITEMS, write(tmp_path / "items.jsonl", 3))
