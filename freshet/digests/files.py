"""Digests as files of JSON lines: what the topic has of one channel and period, each digest once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from freshet.errors import InputError
from schemas.digests import Digest

_line = msgspec.json.Encoder().encode


class DigestFile:
    """A file that digests are appended to. A run that ended between Kafka and the file leaves a gap, and perhaps half a
    line: the line is cut, and the next run fills the gap from the topic."""

    def __init__(self, path: Path, anew: bool = False) -> None:
        """Opens the file; `anew` empties it. Raises InputError where it is not a file of digests or cannot be
        written."""
        self.path = path
        self.ids: set[int] = set()
        """hashes of the ids in it"""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b" if anew else "a+b")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        try:
            self._file.truncate(self._read())
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> int:
        """Notes the ids, and returns where the last whole line ends."""
        end = 0
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            self.ids.add(hash(_id_of(line, self.path, number)))
            end += len(line)
        return end

    def add(self, digest: Digest) -> None:
        """Appends a digest that the file lacks."""
        if hash(digest.digest_id) not in self.ids:
            self.ids.add(hash(digest.digest_id))
            self._file.write(_line(digest) + b"\n")

    def flush(self) -> None:
        """Hands what was added to the system."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Replaces the file with these lines, whole or not at all. Raises InputError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_bytes(b"".join(_line(line) + b"\n" for line in lines))
        new.replace(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _id_of(line: bytes, path: Path, number: int) -> str:
    try:
        return str(msgspec.json.decode(line)["digest_id"])
    except (msgspec.DecodeError, KeyError, TypeError):
        raise InputError(f"{path}: line {number} is no digest: name another folder, or move the file away") from None
