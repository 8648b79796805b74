"""Collects the lines of files that are not valid events, and prints the first ones."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from rich.console import Console

from schemas.errors import EventError

SHOWN = 20


@dataclass(frozen=True, slots=True)
class RejectedLine:
    path: str
    line: int
    field: str
    reason: str

    @classmethod
    def of(cls, path: Path, line: int, error: EventError) -> Self:
        return cls(str(path), line, error.field, error.detail)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.field + ': ' if self.field else ''}{self.reason}"


class RejectedLines:
    """The rejected lines of one command; with a file, also written to it as JSON lines."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file
        self._first: list[RejectedLine] = []
        self.count = 0

    def add(self, rejection: RejectedLine) -> None:
        self.count += 1
        if len(self._first) < SHOWN:
            self._first.append(rejection)
        if self._file:
            self._file.write(json.dumps(asdict(rejection), ensure_ascii=False) + "\n")

    def show(self, console: Console) -> None:
        for rejection in self._first:
            console.print(str(rejection), markup=False, soft_wrap=True)
        more = self.count - len(self._first)
        if more:
            console.print(f"… and {more:,} more rejected lines" + ("" if self._file else " (--rejects FILE)"))


@contextmanager
def collected(file: Path | None, mode: str = "w") -> Iterator[RejectedLines]:
    """Rejections, written to `file` where one is named."""
    if file is None:
        yield RejectedLines()
        return
    with file.open(mode) as out:
        yield RejectedLines(out)
