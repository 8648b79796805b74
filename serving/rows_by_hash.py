"""Finds rows of items by the hashes of their ids."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns, Rows

NEW = 4096
"""rows that are not in the sorted ones yet, beyond which all are sorted anew"""
WHOLE = np.uint64(0xFFFFFFFFFFFFFFFF)
LOWER = np.uint64(0xFFFFFFFF)

Hashes = npt.NDArray[np.uint64]


class RowsByHash:
    """Hashes of all rows, sorted. A row keeps its item for as long as the process lives, so that rows are only added.

    Used from the event loop alone.
    """

    def __init__(self, columns: ItemColumns) -> None:
        self._columns = columns
        self._n = 0
        self._hashes: Hashes = np.zeros(0, np.uint64)
        self._rows: Rows = np.zeros(0, np.int64)

    def find(self, hashes: Hashes, mask: np.uint64 = WHOLE) -> Rows:
        """Rows (n,) of hashes (n,), -1 where no item has it. Of `hashes` only the bits of `mask`, the first ones, are
        given; the others are 0."""
        found = np.full(len(hashes), -1)
        for known, rows in self._parts():
            if len(known):
                place = np.searchsorted(known, hashes).clip(max=len(known) - 1)
                found = np.where(known[place] & mask == hashes, rows[place], found)
        return found

    def find_all(self, upper: npt.NDArray[np.uint32]) -> Rows:
        """Rows, ascending, of all items whose hash has one of these upper halves."""
        least = upper.astype(np.uint64) << np.uint64(32)
        found = []
        for known, rows in self._parts():
            start, end = np.searchsorted(known, least), np.searchsorted(known, least | LOWER, side="right")
            found += [rows[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True) if a < b]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def _parts(self) -> tuple[tuple[Hashes, Rows], tuple[Hashes, Rows]]:
        """The sorted hashes with their rows, and those of newer rows."""
        n = self._columns.n
        if n - self._n > NEW or (n and not self._n):
            self._hashes, self._rows = _sorted(self._columns.hashes[:n], 0)
            self._n = n
        return (self._hashes, self._rows), _sorted(self._columns.hashes[self._n : n], self._n)


def _sorted(hashes: Hashes, first: int) -> tuple[Hashes, Rows]:
    order = np.argsort(hashes)
    return hashes[order], order + first
