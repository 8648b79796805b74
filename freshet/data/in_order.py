"""Reads the lines of a file of events in the order of their times, in bounded memory.

The job rejects an event that is further behind an earlier one of the same person than the allowed lateness. A file that
is out of order is therefore sorted before it is sent: by SQLite, which spills what does not fit into memory to disk.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from schemas import json_reader, topics
from schemas.errors import EventError
from schemas.json_lines import Line, read

TIMED = (topics.INTERACTIONS, topics.IMPRESSIONS)
"""topics whose events have a time; items and users replace their earlier version in the order of the file"""


def needs_sorting(topic: str, path: Path) -> bool:
    """Whether an event of the file is earlier than one before it. Raises UnreadableFile."""
    if topic not in TIMED:
        return False
    latest = 0
    for line in read(path):
        at = _time(topic, line.text, latest)
        if at < latest:
            return True
        latest = at
    return False


@contextmanager
def by_time(topic: str, path: Path, folder: Path) -> Iterator[Iterator[Line]]:
    """The file's lines, earliest first, equal times in the order of the file; a line that is not an event
    follows the one before it. The order is the same at each call. `folder` holds the temporary database."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.NamedTemporaryFile(prefix=".sorting-", dir=folder) as file,
        closing(sqlite3.connect(file.name, isolation_level=None)) as found,
    ):
        found.execute("PRAGMA journal_mode = OFF")
        found.execute("PRAGMA synchronous = OFF")
        found.execute("CREATE TABLE lines (at INTEGER, number INTEGER, text BLOB)")
        found.execute("BEGIN")
        found.executemany("INSERT INTO lines VALUES (?, ?, ?)", _rows(topic, path))
        found.execute("COMMIT")
        ((n,),) = found.execute("SELECT count(*) FROM lines").fetchall()
        ordered = found.execute("SELECT number, text FROM lines ORDER BY at, number")
        size = path.stat().st_size
        yield (Line(number, text, size * place // n, place) for place, (number, text) in enumerate(ordered, 1))


def _rows(topic: str, path: Path) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    for line in read(path):
        at = _time(topic, line.text, at)
        yield at, line.number, line.text


def _time(topic: str, text: bytes, otherwise: int) -> int:
    """Epoch ms of the line's event, `otherwise` where the line is not an event."""
    try:
        at: int = json_reader.loads(topic, text).timestamp
    except EventError:
        return otherwise
    return at
