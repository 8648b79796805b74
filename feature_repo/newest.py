"""The newest items of a catalogue: a short list that is right after every change, where a scan of all is too slow.

One thread writes, others may read meanwhile: a list is made of a copy, and counts for the version that was read before.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

MOST = 2_000
"""items that are kept at least, 16 bytes each"""


class Newest:
    """Rows of items by when they were created, the newest `most` at least; items that do not say when are not new."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._created: dict[int, float] = {}
        self._oldest = -math.inf
        self._version = 0
        self._sorted: tuple[int, npt.NDArray[np.int64], npt.NDArray[np.float64]] = (-1, *_arrays([]))
        """as of which version"""

    def put(self, row: int, created_at: float) -> None:
        """Sets when the item of a row was created, epoch ms, NaN where unknown."""
        known = self._created.pop(row, None)
        if created_at > self._oldest:
            self._created[row] = created_at
            if len(self._created) > 2 * self._most:
                self._prune()
        elif known is None:
            return
        self._version += 1

    def between(self, after: float, until: float) -> npt.NDArray[np.int64]:
        """Rows (n,) created in (after, until], epoch ms, newest first."""
        version, (made, rows, times) = self._version, self._sorted
        if made != version:
            rows, times = _arrays(list(self._created.items()))
            self._sorted = version, rows, times
        first, end = np.searchsorted(times, (after, until), side="right")
        return rows[first:end][::-1]

    def _prune(self) -> None:
        newest = sorted(self._created.items(), key=lambda each: each[1])[-self._most :]
        self._created = dict(newest)
        self._oldest = newest[0][1]


def _arrays(created: list[tuple[int, float]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Rows (n,) and times (n,), the oldest first."""
    rows = np.array([row for row, _ in created], np.int64)
    times = np.array([time for _, time in created], np.float64)
    order = np.lexsort((rows, times))
    return rows[order], times[order]
