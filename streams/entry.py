"""What an operator keeps in memory of its keys."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from operators.contract import Record, Signal


class Entry:
    """What is kept in memory of one key, by part."""

    __slots__ = ("accepted", "boundary", "changed", "due", "news", "states", "tail", "unsaved")

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.changed: set[str] = set()
        """parts whose rows have changed since they last left"""
        self.boundary = 0
        """when those leave; 0 where there are none"""
        self.news: list[Signal] = []
        """what the next operator is told then"""
        self.accepted: list[Record] = []
        """what is archived then"""
        self.unsaved: dict[str, tuple[bytes, int]] = {}
        """encoded states whose rows have left, and as of when, until they are put into the snapshot: by the
        key's own timer where they left at a boundary"""
        self.tail = False
        """whether Flink's state holds elements that the snapshot lacks"""
        self.due: dict[str, int] = {}
        """when each part's row next changes by itself (a tile or session ends)"""


class Entries:
    """The entries by key, least recently used first. Flink's state has all; memory has the busy ones."""

    def __init__(self, limit: int) -> None:
        self._entries: dict[str, Entry] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: str) -> Entry | None:
        """The key's entry, which is the most recently used from now on; None where there is none."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry
        return entry

    def keep(self, key: str, entry: Entry) -> None:
        self._entries[key] = entry

    def due(self, keys: Iterable[str], boundary: int) -> list[tuple[str, Entry]]:
        """Those of the keys which leave at this boundary; the others have left before."""
        known = ((key, self._entries.get(key)) for key in keys)
        return [(key, entry) for key, entry in known if entry is not None and entry.boundary == boundary]

    def forget_idle(self) -> None:
        """Keeps no more than the limit, or those whose state is not all in Flink's."""
        excess = len(self._entries) - self._limit
        if excess > 0:
            idle = (key for key, entry in self._entries.items() if not entry.boundary and not entry.unsaved)
            for key in list(islice(idle, excess)):
                del self._entries[key]
