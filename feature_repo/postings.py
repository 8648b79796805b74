"""Rows by code: the items of a category or a brand, without a scan of the catalogue.

A code's rows may hold some that have the code no more: readers look at the column. One thread writes while others read.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

LEAST = 4
"""rows that a code has room for at first"""

NONE: npt.NDArray[np.int64] = np.zeros(0, np.int64)


class Postings:
    """For each code the rows that have had it, in order of arrival; a row may be there twice."""

    def __init__(self) -> None:
        self._rows: dict[int, npt.NDArray[np.int32]] = {}
        self._counts: dict[int, int] = {}

    def put(self, row: int, before: Iterable[int], after: Iterable[int]) -> None:
        """The codes of a row change; 0 is none."""
        for code in set(after).difference(before, (0,)):
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

    def of(self, code: int) -> npt.NDArray[np.int64]:
        """The rows (n,) of the code, ascending, each once."""
        count, rows = self._counts.get(code, 0), self._rows.get(code)
        return NONE if rows is None else np.unique(rows[:count]).astype(np.int64)
