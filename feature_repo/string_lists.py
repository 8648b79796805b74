"""A column of lists of strings: all elements in one array of codes, with the row that each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.vocabulary import Vocabulary

Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
LEAST_GARBAGE = 4096
"""elements of replaced lists that are kept until they are half of all"""


class _Arrays(NamedTuple):
    codes: Codes
    """elements (m,), 0 for those of lists that were replaced and for what is free"""
    owners: npt.NDArray[np.int32]
    """rows (m,) of the elements"""
    starts: Rows
    """where a row's elements begin"""
    lengths: npt.NDArray[np.int32]
    """how many they are; -1 where the row has no list"""


class StringLists:
    """Rows of lists; a row without a list is different from one with an empty list.

    One thread changes it while others read. Readers take the arrays at once, so that they never see those of before
    and after a change of size together: whatever is being changed, the other rows read right.
    """

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self.vocabulary = vocabulary if vocabulary is not None else Vocabulary()
        self._arrays = _Arrays(
            np.zeros(64, np.int32), np.zeros(64, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int32)
        )
        self._used = self._garbage = 0

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays)

    def put(self, row: int, names: Sequence[str]) -> None:
        """Sets the list of a row."""
        codes = [self.vocabulary.code(name) for name in names]
        if row >= len(self._arrays.lengths):
            self._grow_rows(row)
        elif self._arrays.lengths[row] == len(codes) and self._of(row).tolist() == codes:
            return
        self.clear(row)
        start, end = self._used, self._used + len(codes)
        if end > len(self._arrays.codes):
            self._grow_elements(end)
        arrays = self._arrays
        arrays.owners[start:end] = row  # before the codes, or they would be row 0's for a moment
        arrays.codes[start:end] = codes
        self._used = end
        arrays.starts[row] = start
        arrays.lengths[row] = len(codes)

    def clear(self, row: int) -> None:
        """Leaves the row without a list."""
        lengths = self._arrays.lengths
        if row >= len(lengths) or lengths[row] < 0:
            return
        self._garbage += int(lengths[row])
        self._of(row)[:] = 0
        lengths[row] = -1
        if self._garbage > max(LEAST_GARBAGE, self._used // 2):
            self._compact()

    def lengths(self, n: int) -> npt.NDArray[np.int32]:
        """Lengths (n,) of the lists of rows 0 … n-1, -1 where a row has none."""
        found = self._arrays.lengths[:n]
        return found if len(found) == n else np.concatenate([found, np.full(n - len(found), -1, np.int32)])

    def elements(self, rows: Rows | None, n: int) -> tuple[Codes, Rows]:
        """Codes (m,) of all elements and the positions (m,) of their rows: in `rows`, or of rows 0 … n-1."""
        codes, owners, starts, lengths = self._arrays
        if rows is None:
            there = np.flatnonzero(codes)
            of = owners.take(there)
            if len(of) and of.max() >= n:
                there, of = there[of < n], of[of < n]
            return codes.take(there), of.astype(np.int64)
        known = np.flatnonzero(rows < len(lengths))
        here = rows.take(known)
        long = np.maximum(lengths.take(here), 0).astype(np.int64)
        ends = np.cumsum(long)
        places = np.repeat(starts.take(here) - (ends - long), long) + np.arange(ends[-1] if len(ends) else 0)
        return codes.take(places, mode="clip"), np.repeat(known, long)

    def _of(self, row: int) -> Codes:
        start = int(self._arrays.starts[row])
        return self._arrays.codes[start : start + max(int(self._arrays.lengths[row]), 0)]

    def _grow_rows(self, row: int) -> None:
        codes, owners, starts, lengths = self._arrays
        more = max(2 * len(lengths), row + 1) - len(lengths)
        self._arrays = _Arrays(
            codes, owners, np.append(starts, np.zeros(more, np.int64)), np.append(lengths, np.full(more, -1, np.int32))
        )

    def _grow_elements(self, end: int) -> None:
        codes, owners, starts, lengths = self._arrays
        more = np.zeros(max(2 * len(codes), end) - len(codes), np.int32)
        self._arrays = _Arrays(np.append(codes, more), np.append(owners, more), starts, lengths)

    def _compact(self) -> None:
        """Drops the elements of replaced lists, into new arrays."""
        lengths = self._arrays.lengths
        there = np.flatnonzero(lengths > 0)
        kept, _ = self.elements(there, len(lengths))
        long = lengths[there].astype(np.int64)
        starts = self._arrays.starts.copy()
        starts[there] = np.cumsum(long) - long
        room = np.zeros(max(len(kept), 64), np.int32)
        owners = np.append(np.repeat(there, long).astype(np.int32), room)
        self._used, self._garbage = len(kept), 0
        self._arrays = _Arrays(np.append(kept, room), owners, starts, lengths)
