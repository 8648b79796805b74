"""Rows by code: the items of a category or a brand, without a scan of the catalogue.

One thread writes while others read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from feature_repo.paged import Mask, Rows

LEAST = 4
"""rows that a code has room for at first"""

HELD_BYTES = 16 << 20
"""limit of the rows that are kept for the next reader"""
NONE: Rows = np.zeros(0, np.int64)


class Postings:
    """For each code the rows that have had it, in order of arrival; a row may be there twice. Readers are given those
    that have it now."""

    def __init__(self, holds: Callable[[int, Rows], Mask]) -> None:
        """`holds` says which of some rows (n,) have a code."""
        self._holds = holds
        self._rows: dict[int, npt.NDArray[np.int32]] = {}
        self._counts: dict[int, int] = {}
        self._changes: dict[int, int] = {}
        """code → how often an item came to it or left it"""
        self._held: LRUCache[int, tuple[int, Rows]] = LRUCache(HELD_BYTES, lambda held: held[1].nbytes + 100)
        """code → rows as of so many changes"""

    def put(self, row: int, before: Iterable[int], after: Iterable[int]) -> None:
        """The codes of a row change; 0 is none."""
        old, new = set(before) - {0}, set(after) - {0}
        for code in old ^ new:
            self._changes[code] = self._changes.get(code, 0) + 1
        for code in new - old:
            count, rows = self._counts.get(code, 0), self._rows.get(code)
            if rows is None:
                rows = self._rows[code] = np.zeros(LEAST, np.int32)
            elif count == len(rows):
                distinct = np.unique(rows)  # an item that goes to and fro takes no more room
                count = len(distinct)
                rows = np.concatenate([distinct, np.zeros(max(count, LEAST), np.int32)])
                self._counts[code] = min(self._counts[code], count)
                self._rows[code] = rows
            rows[count] = row
            self._counts[code] = count + 1

    def of(self, code: int) -> Rows:
        """The rows (n,) that have the code, ascending."""
        changes = self._changes.get(code, 0)  # before reading: what changes meanwhile is read the next time
        known = self._held.get(code)
        if known is not None and known[0] == changes:
            return known[1]
        count, rows = self._counts.get(code, 0), self._rows.get(code)
        found = NONE if rows is None else np.unique(rows[:count]).astype(np.int64)
        if len(found):
            found = found[self._holds(code, found)]
        self._held[code] = changes, found
        return found
