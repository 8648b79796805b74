"""Replaying files: rates, and what is said of lines that are no events."""

import json
from pathlib import Path
from typing import ClassVar, Self

import pytest

from freshet.cli import main
from freshet.commands.replay import rate
from freshet.settings import Settings
from tests.freshet.data.test_importer import event, write


@pytest.mark.parametrize(("text", "expected"), [("300", 300), ("300/s", 300), ("90/min", 1.5), ("0.5/s", 0.5)])
def test_rates(text: str, expected: float) -> None:
    assert rate(text) == expected


@pytest.mark.parametrize("text", ["0", "-3/s", "fast", "3/h", "inf", "nan", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        rate(text)


class Sent:
    """A broker that takes everything."""

    events: ClassVar[list[bytes]] = []

    def __init__(self, settings: Settings, acknowledged: object) -> None:
        self.events.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        self.events.append(value)

    def flush(self) -> None: ...


def test_rejected_lines_are_shown_with_their_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("freshet.commands.replay.Producer", Sent)
    monkeypatch.setenv("COLUMNS", "200")
    bad = {2: "{not json", 4: json.dumps(event(4, colour="red"))} | dict.fromkeys(range(6, 40), "[]")
    path = write(tmp_path / "events.jsonl", 40, bad)
    rejects = tmp_path / "rejects.jsonl"
    words = ["replay", "--interactions", str(path), "--rate", "10000"]
    assert main(words) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith(f"{path}:2: not JSON")
    assert shown[1].startswith(f"{path}:4: colour: ")
    assert shown[20] == "… and 16 more rejected lines (--rejects FILE)"
    assert shown[21].startswith("4 events in")
    assert shown[21].endswith("36 lines rejected")
    assert len(Sent.events) == 4
    assert main([*words, "--rejects", str(rejects)]) == 1
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == sorted(bad)


def test_a_file_of_rejected_lines_alone_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "events.jsonl", 1, {1: "[]"})
    assert main(["replay", "--interactions", str(path), "--rate", "1"]) == 1
    said = capsys.readouterr()
    assert f"{path}:1: an event is a JSON object" in said.out.replace("\n", "")
    assert "has no valid interaction" in said.err
