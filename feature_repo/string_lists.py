"""A column of lists of strings: all elements in one array of codes, with the row that each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.paged import Paged, Rows
from feature_repo.vocabulary import Vocabulary

Codes = npt.NDArray[np.int32]
LEAST_GARBAGE = 4096
"""elements of replaced lists that are kept until they are half of all"""


class ListArrays(NamedTuple):
    """The arrays of a column at one time, which belong together."""

    codes: Codes
    """elements (m,), 0 for those of lists that were replaced and for what is free"""
    owners: npt.NDArray[np.int32]
    """rows (m,) of the elements"""
    starts: Paged
    """where a row's elements begin"""
    sizes: Paged
    """how many they are; -1 where the row has no list"""
    vocabulary: Vocabulary

    def lengths(self, rows: Rows | None, n: int) -> npt.NDArray[np.int32]:
        """Lengths of the lists of `rows`, or of rows 0 … n-1; -1 where a row has none."""
        return self.sizes.first(n) if rows is None else self.sizes.take(rows)

    def elements(self, rows: Rows | None, n: int) -> tuple[Codes, Rows]:
        """Codes (m,) of all elements and the positions (m,) of their rows: in `rows`, or of rows 0 … n-1."""
        if rows is None:
            present = np.flatnonzero(self.codes)
            of = self.owners.take(present)
            if len(of) and of.max() >= n:
                present, of = present[of < n], of[of < n]
            return self.codes.take(present), of.astype(np.int64)
        long = np.maximum(self.sizes.take(rows), 0).astype(np.int64)
        ends = np.cumsum(long)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - long, long)
        places = np.repeat(self.starts.take(rows), long) + within
        return self.codes.take(places, mode="clip"), np.repeat(np.arange(len(rows)), long)

    def any(self, table: npt.NDArray[np.bool_], rows: Rows | None, n: int) -> npt.NDArray[np.bool_]:
        """Which lists have an element of which the table by code says True; codes beyond it do not."""
        found = np.zeros(n if rows is None else len(rows), bool)
        table = np.append(table, False)  # the clipped place of codes that are newer than the table
        table[0] = False
        if rows is None:
            owners = self.owners.take(np.flatnonzero(table.take(self.codes, mode="clip")))
            found[owners[owners < n]] = True
        else:
            codes, places = self.elements(rows, n)
            found[places[table.take(codes, mode="clip")]] = True
        return found


class StringLists:
    """Rows of lists; a row without a list is different from one with an empty list.

    One thread changes it while others read. Readers take `arrays` at once, so that they never see those of before and
    after a change of size together: whatever is being changed, the other rows read right.
    """

    def __init__(self) -> None:
        self.arrays = _empty()
        self.count = 0
        """rows with a list"""
        self._used = self._garbage = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and of the vocabulary's index."""
        return sum(each.nbytes for each in self.arrays)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.arrays.vocabulary

    def put(self, row: int, names: Sequence[str]) -> None:
        """Sets the list of a row."""
        codes = [self.vocabulary.code(name) for name in names]
        if self.arrays.sizes[row] == len(codes) and self._of(row).tolist() == codes:
            return
        self._leave(row)
        start, end = self._used, self._used + len(codes)
        if end > len(self.arrays.codes):
            self._grow(end)
        arrays = self.arrays
        arrays.owners[start:end] = row  # before the codes, or they would be row 0's for a moment
        arrays.codes[start:end] = codes
        self._used = end
        arrays.starts[row] = start
        arrays.sizes[row] = len(codes)
        self.count += 1
        self._compact()

    def clear(self, row: int) -> None:
        """Leaves the row without a list."""
        self._leave(row)
        if not self.count:
            self.arrays, self._used, self._garbage = _empty(), 0, 0
        self._compact()

    def lengths(self, n: int) -> npt.NDArray[np.int32]:
        """Lengths (n,) of the lists of rows 0 … n-1, -1 where a row has none."""
        return self.arrays.lengths(None, n)

    def elements(self, rows: Rows | None, n: int) -> tuple[Codes, Rows]:
        """As `ListArrays.elements`."""
        return self.arrays.elements(rows, n)

    def _of(self, row: int) -> Codes:
        start = int(self.arrays.starts[row])
        return self.arrays.codes[start : start + max(int(self.arrays.sizes[row]), 0)]

    def _leave(self, row: int) -> None:
        size = int(self.arrays.sizes[row])
        if size < 0:
            return
        self._garbage += size
        self._of(row)[:] = 0
        self.arrays.sizes[row] = -1
        self.count -= 1

    def _grow(self, end: int) -> None:
        arrays = self.arrays
        more = np.zeros(max(2 * len(arrays.codes), end) - len(arrays.codes), np.int32)
        self.arrays = arrays._replace(codes=np.append(arrays.codes, more), owners=np.append(arrays.owners, more))

    def _compact(self) -> None:
        """Drops the elements of replaced lists, and names that no list has, into new arrays."""
        _, _, starts, sizes, vocabulary = self.arrays
        sparse = vocabulary.is_sparse(self._used - self._garbage)
        if not sparse and self._garbage <= max(LEAST_GARBAGE, self._used // 2):
            return
        lengths = sizes.first(sizes.rows)
        present = np.flatnonzero(lengths > 0)
        kept, _ = self.elements(present, len(lengths))
        if sparse:
            vocabulary, table = vocabulary.compacted(np.unique(kept).tolist())
            kept = table.take(kept)
        long = lengths[present].astype(np.int64)
        starts = starts.copy()
        starts.put(present, np.cumsum(long) - long)
        room = np.zeros(max(len(kept), 64), np.int32)
        owners = np.append(np.repeat(present, long).astype(np.int32), room)
        self._used, self._garbage = len(kept), 0
        self.arrays = ListArrays(np.append(kept, room), owners, starts, sizes, vocabulary)


def _empty() -> ListArrays:
    room = np.zeros(8, np.int32)
    return ListArrays(room, room.copy(), Paged(0, np.int64), Paged(-1, np.int32), Vocabulary())
