"""The states of an operator's keys that are in memory."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from operators.cells import changed
from operators.contract import Cells, Operator, Record, Signal


class Entry:
    """What is in memory of one key, by part."""

    __slots__ = (
        "accepted", "arrived", "changed", "deleted", "downstream", "dropped", "due", "flush_at", "saved", "states",
        "tail", "unsaved",
    )  # fmt: skip

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.changed: set[str] = set()
        """parts whose rows have changed since they were last flushed"""
        self.deleted: set[str] = set()
        """parts whose rows are to be deleted, before those of `changed` are written"""
        self.dropped: dict[str, set[str]] = {}
        """cells of dropped parts that Flink's state still has"""
        self.flush_at = 0
        """when those are flushed, epoch ms; 0 where none is scheduled"""
        self.downstream: list[Signal] = []
        """for the next operator, since the last flush"""
        self.accepted: list[Record] = []
        """for the archive, since the last flush"""
        self.arrived = 0
        """the broker's time of the latest element, epoch ms"""
        self.saved: dict[str, Cells] = {}
        """cells as Flink's state has them, `unsaved` put on top"""
        self.unsaved: dict[str, tuple[dict[str, bytes | None], int]] = {}
        """flushed cells that Flink's state does not have yet, None for those that it has to drop; and as of when"""
        self.tail = False
        """whether Flink's state has elements whose effect its cells do not have"""
        self.due: dict[str, int] = {}
        """when each part's row next changes by itself (a tile or session ends)"""

    def state(self, part: str, operator: Operator[Any]) -> Any:
        """The part's state, a new one where there is none."""
        state = self.states.get(part)
        if state is None:
            state = self.states[part] = operator.new(part)
        return state

    def encoded(self, part: str, cells: Cells, at: int) -> None:
        """Takes a part's encoded state, whose row is being written as of `at`."""
        before, _ = self.unsaved.get(part, ({}, 0))
        self.unsaved[part] = {**before, **changed(self.saved.get(part, {}), cells)}, at
        self.saved[part] = cells

    def drop(self, part: str) -> None:
        """Drops a part; its row is deleted and its cells in Flink's state go with the next flush."""
        del self.states[part]
        self.changed.discard(part)
        self.deleted.add(part)
        self.due.pop(part, None)
        names = {*self.saved.pop(part, {}), *self.unsaved.pop(part, ({}, 0))[0]}
        self.dropped.setdefault(part, set()).update(names)

    def flushed(self) -> None:
        """All that was to leave has left."""
        self.changed.clear()
        self.deleted.clear()
        self.downstream, self.accepted = [], []
        self.flush_at = 0


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

    def due(self, keys: Iterable[str], flush_at: int) -> list[tuple[str, Entry]]:
        """Those of the keys which are flushed at this time; the others have been flushed before."""
        known = ((key, self._entries.get(key)) for key in dict.fromkeys(keys))
        return [(key, entry) for key, entry in known if entry is not None and entry.flush_at == flush_at]

    def forget_idle(self) -> None:
        """Keeps no more than the limit, or those whose state is not all in Flink's."""
        excess = len(self._entries) - self._limit
        if excess > 0:
            idle = (
                key for key, entry in self._entries.items() if not (entry.flush_at or entry.unsaved or entry.dropped)
            )
            for key in list(islice(idle, excess)):
                del self._entries[key]
