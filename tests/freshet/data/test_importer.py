import gzip
import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from freshet.cli import main
from freshet.data import importer
from schemas import codec, json_lines, topics
from schemas.errors import UnreadableFile


def event(number: int, **more: object) -> dict[str, object]:
    known = {"event_id": f"e{number}", "event_type": "click", "user_id": "u1", "item_id": "i1"}
    return {**known, "timestamp": "2026-01-01T10:00:00Z", **more}


def write(path: Path, count: int, bad: dict[int, str] | None = None) -> Path:
    lines = [(bad or {}).get(n, json.dumps(event(n))) for n in range(1, count + 1)]
    path.write_text("\n".join(lines) + "\n")
    return path


class Broker:
    """Acknowledges at each flush; stops for good after so many flushes."""

    def __init__(self, flushes: int = 1_000) -> None:
        self.left = flushes
        self.pending: list[bytes] = []
        self.stored: list[str] = []

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        assert key == b"u1"
        self.pending.append(value)

    def flush(self) -> None:
        if not self.left:
            raise ConnectionError("gone")
        self.left -= 1
        self.stored += [codec.decode(topics.INTERACTIONS, value).event_id for value in self.pending]
        self.pending.clear()


def load(path: Path, broker: Broker, home: Path) -> tuple[importer.Progress, list[str]]:
    refused: list[str] = []
    progress = importer.load(
        path, topics.INTERACTIONS, broker, importer.Records(home), rejected=lambda r: refused.append(str(r))
    )
    return progress, refused


def test_an_interrupted_import_goes_on_after_the_last_acknowledged_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK", 10)
    path = write(tmp_path / "events.jsonl", 95)
    first = Broker(flushes=4)
    with pytest.raises(ConnectionError):
        load(path, first, tmp_path / "home")
    second = Broker()
    progress, _ = load(path, second, tmp_path / "home")
    assert first.stored + second.stored == [f"e{n}" for n in range(1, 96)]
    assert (progress.line, progress.accepted, progress.done) == (95, 95, True)


def test_a_finished_import_sends_nothing_again(tmp_path: Path) -> None:
    path = write(tmp_path / "events.jsonl", 3)
    load(path, Broker(), tmp_path / "home")
    again = Broker()
    progress, _ = load(path, again, tmp_path / "home")
    assert again.stored == []
    assert progress.accepted == 3


def test_a_file_that_has_changed_is_another_file(tmp_path: Path) -> None:
    path = write(tmp_path / "events.jsonl", 3)
    load(path, Broker(), tmp_path / "home")
    write(path, 5)
    again = Broker()
    load(path, again, tmp_path / "home")
    assert len(again.stored) == 5


def test_rejected_lines_are_named_by_number_and_reason(tmp_path: Path) -> None:
    bad = {2: "{not json", 4: json.dumps(event(4, colour="red")), 5: ""}
    path = write(tmp_path / "events.jsonl", 6, bad)
    broker = Broker()
    progress, refused = load(path, broker, tmp_path / "home")
    assert broker.stored == ["e1", "e3", "e6"]
    assert (progress.accepted, progress.rejected) == (3, 2)
    assert refused[0].startswith(f"{path}:2: not JSON")
    assert refused[1].startswith(f"{path}:4: colour: ")


def test_gzip_is_recognized_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "events.data"
    path.write_bytes(gzip.compress(write(tmp_path / "plain", 4).read_bytes()))
    broker = Broker()
    load(path, broker, tmp_path / "home")
    assert broker.stored == ["e1", "e2", "e3", "e4"]


def test_a_gzip_file_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    path.write_bytes(gzip.compress(write(tmp_path / "plain", 4000).read_bytes())[:-100])
    with pytest.raises(UnreadableFile, match="cannot be read to its end"):
        list(json_lines.read(path))


def test_a_second_run_says_what_it_sent_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("freshet.commands.load.Producer", lambda *_: nullcontext(Broker()))
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "300")
    path = write(tmp_path / "events.jsonl", 4, {2: "[]"})
    said = []
    for words in ([], [], ["--restart"]):
        assert main(["import", "--interactions", str(path), *words]) == 1
        said.append(capsys.readouterr().out.splitlines()[-1])
    assert said == [
        f"{path}: 3 sent to interactions, 1 rejected",
        f"{path}: 0 sent to interactions, 0 rejected (earlier: 3 sent, 1 rejected)",
        f"{path}: 3 sent to interactions, 1 rejected",
    ]
