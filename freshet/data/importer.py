"""Imports files of JSON lines into Kafka; an interrupted import resumes after the last acknowledged line.

A record for each file and topic in `.freshet/imports` holds the place of the last line that is acknowledged or
rejected. Lines sent after the record was written are sent again, which is harmless: interactions are deduplicated by
their id, and items and users replace their earlier version. A file whose events are not in the order of their times is
sorted first, since the job rejects an event that is too far behind an earlier one of the same person.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from freshet.data import files, in_order
from freshet.data.rejections import RejectedLine
from schemas.errors import EventError
from schemas.json_lines import Line, read

CHUNK = 2000


class Sender(Protocol):
    def send(self, topic: str, key: bytes, value: bytes) -> None: ...

    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    path: str
    topic: str
    line: int = 0
    """place of the last line that is done (`Line.place`)"""
    accepted: int = 0
    rejected: int = 0
    done: bool = False
    by_time: bool = False
    """whether the lines are sent in the order of their times instead of the file's"""


class Records:
    """The progress records of one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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
        return self.folder / f"{topic}-{files.identity(path)}.json"


def load(
    path: Path,
    topic: str,
    sender: Sender,
    records: Records,
    *,
    rejected: Callable[[RejectedLine], None],
    advanced: Callable[[Progress, int], None] = lambda progress, position: None,
) -> Progress:
    """Sends the lines of a file that have not been acknowledged yet; returns the final progress.

    `rejected` is called with each line that is not a valid event; `advanced` with the progress and the bytes read,
    after each chunk. Raises BrokerGone, with the progress up to the last chunk on disk.
    """
    progress = records.load(path, topic)
    if progress.done:
        return progress
    if not progress.line:  # what an earlier run began in one order goes on in that order
        progress = replace(progress, by_time=in_order.needs_sorting(topic, path))
    with _lines(path, progress, records.folder) as lines:
        for chunk in _chunks(line for line in lines if line.place > progress.line):
            progress = _send(chunk, progress, sender, rejected, path)
            records.save(path, progress)
            advanced(progress, chunk[-1].position)
    progress = replace(progress, done=True)
    records.save(path, progress)
    return progress


def _lines(path: Path, progress: Progress, folder: Path) -> AbstractContextManager[Iterator[Line]]:
    return in_order.by_time(progress.topic, path, folder) if progress.by_time else nullcontext(read(path))


def _send(
    chunk: list[Line],
    progress: Progress,
    sender: Sender,
    rejected: Callable[[RejectedLine], None],
    path: Path,
) -> Progress:
    refused = 0
    for line in chunk:
        try:
            key, value = files.message(progress.topic, line.text)
        except EventError as error:
            refused += 1
            rejected(RejectedLine.of(path, line.number, error))
        else:
            sender.send(progress.topic, key, value)
    sender.flush()
    return replace(
        progress,
        line=chunk[-1].place,
        accepted=progress.accepted + len(chunk) - refused,
        rejected=progress.rejected + refused,
    )


def _chunks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while chunk := list(islice(lines, CHUNK)):
        yield chunk
