"""Counts the bytes written to Redis, exactly and without load, from its append-only file.

The file holds every command that changed something, as the protocol has it, and no read. Each command's values are
counted: for HSET the values without the field names, for others everything after the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
from redis import Redis

from freshet.settings import Settings

CHUNK = 1 << 20
NO_VALUES = frozenset({b"SELECT", b"MULTI", b"EXEC", b"FLUSHALL", b"FLUSHDB", b"PING"})
HASHES = frozenset({b"HSET", b"HMSET"})
SCRIPTS = frozenset({b"EVAL", b"EVALSHA", b"FCALL"})


class Written(NamedTuple):
    """The number of write commands in a series, and the bytes of their values."""

    commands: int
    values: int

    def __add__(self, other: object) -> Written:
        assert isinstance(other, Written)
        return Written(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = Written(0, 0)


class AppendOnlyFile:
    """The append-only file of a stack's Redis, read from where the last reading ended."""

    def __init__(self, settings: Settings) -> None:
        """Stops Redis from rewriting the file from now on."""
        self._client = Redis(settings.host, settings.redis_port)
        self._client.config_set("auto-aof-rewrite-percentage", 0)
        self._folder = settings.root / "redis" / "appendonlydir"
        self._at: dict[Path, int] = {}
        self.skip()

    def skip(self) -> None:
        """Skips everything written until now."""
        self._flushed()
        self._at = {file: file.stat().st_size for file in self._files()}

    def read(self) -> Written:
        """The content written since the last reading."""
        self._flushed()
        found = NOTHING
        for file in self._files():
            with file.open("rb") as source:
                source.seek(self._at.get(file, 0))
                for command in commands(iter(lambda s=source: s.read(CHUNK), b"")):  # type: ignore[misc]
                    found += measured(command)
                self._at[file] = source.tell()
        return found

    def net_input(self) -> int:
        """Bytes that Redis received from all clients, reads and protocol included."""
        info: Any = self._client.info("stats")
        return int(info["total_net_input_bytes"])

    def _flushed(self) -> None:
        """A command's answer is sent after the file has been written, so that one answer proves the others."""
        self._client.ping()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.incr.aof"))


def commands(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The commands in a stream of RESP."""
    reader = hiredis.Reader()
    for chunk in chunks:
        reader.feed(chunk)
        while (found := reader.gets()) is not False:
            yield [part if isinstance(part, bytes) else str(part).encode() for part in found]


def measured(command: list[bytes]) -> Written:
    """One command: its values are arguments that are neither keys nor names of fields."""
    name = command[0].upper()
    if name in NO_VALUES:
        return NOTHING
    if name in HASHES:
        return Written(1, sum(map(len, command[3::2])))
    if name in SCRIPTS:
        return Written(1, sum(map(len, command[3 + int(command[2]) :])))
    return Written(1, sum(map(len, command[2:])))
