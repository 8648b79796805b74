"""Files of JSON lines to import: their identity, and a line as a Kafka message."""

import hashlib
from pathlib import Path

from freshet.errors import InputError
from schemas import codec, json_reader, topics

_HEAD = 64 * 1024


def identity(path: Path) -> str:
    """A cheap fingerprint of a file: a hash of its path, size and first 64 KB."""
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD)).hexdigest()
    return hashlib.sha256(f"{path.resolve()}\0{path.stat().st_size}\0{head}".encode()).hexdigest()[:32]


def check(path: Path) -> None:
    """Raises InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"{path} is not a file")


def message(topic: str, text: bytes) -> tuple[bytes, bytes]:
    """Key and value for a line of JSON. Raises EventError, which names the field."""
    event = json_reader.loads(topic, text)
    return topics.key_of(event), codec.encode(event)
