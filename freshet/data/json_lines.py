"""Reading files of JSON lines, plain or gzip, and turning a line into a Kafka message."""

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from freshet.errors import InputError
from schemas import codec, json_reader, topics

_GZIP_MAGIC = b"\x1f\x8b"
_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    text: bytes
    position: int
    """Bytes of the file read so far, for a progress bar; of the compressed file where it is one."""
    place: int
    """Its number among the lines in the order in which they are sent; that in the file where nothing is sorted."""


def identity(path: Path) -> str:
    """Tells a file from another one of the same name, cheaply: its path, size and first 64 KB."""
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD)).hexdigest()
    return hashlib.sha256(f"{path.resolve()}\0{path.stat().st_size}\0{head}".encode()).hexdigest()[:32]


def check(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} is not a file")


def read(path: Path) -> Iterator[Line]:
    """The lines of a file that are not blank, numbered from 1. Raises InputError for a broken gzip file."""
    with path.open("rb") as raw:
        compressed = raw.peek(2)[:2] == _GZIP_MAGIC
        lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw
        try:
            for number, text in enumerate(lines, 1):
                if text.strip():
                    yield Line(number, text, raw.tell(), number)
        except (EOFError, gzip.BadGzipFile, OSError) as error:
            raise InputError(f"{path} cannot be read to its end: {error}") from error


def message(topic: str, text: bytes) -> tuple[bytes, bytes]:
    """Key and value for a line of JSON. Raises EventError, which names the field."""
    event = json_reader.loads(topic, text)
    return topics.key_of(event), codec.encode(event)
