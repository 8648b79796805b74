"""Files of JSON lines into Kafka, so that an interrupted import goes on where the broker's acknowledgements ended.

A record a file and topic in `.freshet/imports` holds the number of the last line that is acknowledged or rejected.
Lines sent after the record was written are sent again, which is harmless: interactions are deduplicated by their id,
and items and users replace their earlier version.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from freshet.data import json_lines
from freshet.data.rejections import Rejection
from schemas.errors import EventError

CHUNK = 2000


class Sender(Protocol):
    def send(self, topic: str, key: bytes, value: bytes) -> None: ...

    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    path: str
    topic: str
    line: int = 0
    accepted: int = 0
    rejected: int = 0
    done: bool = False


class Records:
    """The progress records of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, path: Path, topic: str) -> Progress:
        try:
            return Progress(**json.loads(self._file(path, topic).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return Progress(str(path), topic)

    def save(self, path: Path, progress: Progress) -> None:
        file = self._file(path, progress.topic)
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".tmp")
        aside.write_text(json.dumps(asdict(progress)))
        aside.replace(file)

    def forget(self, path: Path, topic: str) -> None:
        self._file(path, topic).unlink(missing_ok=True)

    def _file(self, path: Path, topic: str) -> Path:
        return self._folder / f"{topic}-{json_lines.identity(path)}.json"


def load(
    path: Path,
    topic: str,
    sender: Sender,
    records: Records,
    *,
    rejected: Callable[[Rejection], None],
    advanced: Callable[[Progress, int], None] = lambda progress, position: None,
) -> Progress:
    """Send the lines of a file that have not been acknowledged yet; returns the finished progress.

    `rejected` hears of each line that is no valid event; `advanced` of the progress and the bytes read, a chunk at a
    time. Raises BrokerGone, with the progress up to the last chunk on disk.
    """
    progress = records.load(path, topic)
    if progress.done:
        return progress
    lines = (line for line in json_lines.read(path) if line.number > progress.line)
    for chunk in _chunks(lines):
        refused = 0
        for line in chunk:
            try:
                key, value = json_lines.message(topic, line.text)
            except EventError as error:
                refused += 1
                rejected(Rejection.of(path, line.number, error))
            else:
                sender.send(topic, key, value)
        sender.flush()
        progress = replace(
            progress,
            line=chunk[-1].number,
            accepted=progress.accepted + len(chunk) - refused,
            rejected=progress.rejected + refused,
        )
        records.save(path, progress)
        advanced(progress, chunk[-1].position)
    progress = replace(progress, done=True)
    records.save(path, progress)
    return progress


def _chunks(lines: Iterator[json_lines.Line]) -> Iterator[list[json_lines.Line]]:
    while chunk := list(islice(lines, CHUNK)):
        yield chunk
