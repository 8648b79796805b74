"""Files of JSON lines, plain or gzip: what people import and train on."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UnreadableFile

GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int
    """from 1"""
    text: bytes
    position: int
    """bytes of the file read so far, for a progress bar; of the compressed file where it is one"""
    place: int
    """its number in the order in which lines are sent: that in the file, unless they are sorted"""


def read(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank. Raises UnreadableFile where it cannot be read to its end."""
    try:
        with path.open("rb") as raw:
            compressed = raw.peek(2)[:2] == GZIP_MAGIC
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw
            for number, text in enumerate(lines, 1):
                if text.strip():
                    yield Line(number, text, raw.tell(), number)
    except (EOFError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UnreadableFile(f"{path} cannot be read to its end: {reason}") from error
