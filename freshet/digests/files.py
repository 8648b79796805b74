"""The files of a run, as JSON lines: the digests that the topic has of one channel and period, each once, and the
people whose digests are deferred."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from freshet.digests.sent import Sent
from freshet.errors import InputError
from schemas.digests import Digest

_line = msgspec.json.Encoder().encode
_digest = msgspec.json.Decoder(Digest).decode


class DigestFile:
    """A file that digests are appended to. A run that ended between Kafka and the file leaves a gap, and perhaps half a
    line: the line is cut, and the next run fills the gap from the topic."""

    def __init__(self, path: Path, anew: bool = False) -> None:
        """Opens the file; `anew` empties it. Raises InputError where it is not a file of digests or cannot be
        written."""
        self.path = path
        self._has = Sent()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w+b" if anew else "a+b")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None
        try:
            self._file.truncate(self._read())
        except BaseException:
            self.close()
            raise

    def _read(self) -> int:
        """Notes the digests that are there, and returns where the last whole line ends."""
        end = 0
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                self._has.add(_digest(line))
            except msgspec.DecodeError:
                raise InputError(
                    f"{self.path}: line {number} is no digest: name another folder, or move the file away"
                ) from None
            end += len(line)
        return end

    def add(self, digest: Digest) -> None:
        """Appends a digest that the file lacks."""
        if not self._has.has(digest.digest_id):
            self._has.add(digest)
            self._file.write(_line(digest) + b"\n")

    def flush(self) -> None:
        """Hands what was added to the system."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        self._has.close()


class DeferredFile:
    """A file of people, each with the time from which their digest is sent. It is in place of an earlier run's once it
    is closed."""

    def __init__(self, path: Path) -> None:
        """Opens the file. Raises InputError where it cannot be written."""
        self._path, self._new = path, path.with_name(path.name + ".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._new.open("wb")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None

    def add(self, user_id: str, until: int) -> None:
        """Appends a person; `until` in epoch ms."""
        self._file.write(_line({"user_id": user_id, "until": iso(until)}) + b"\n")

    def close(self) -> None:
        """Raises InputError where it cannot be written."""
        try:
            self._file.close()
            self._new.replace(self._path)
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror or error}") from None


def iso(at: int) -> str:
    """Epoch ms as ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
