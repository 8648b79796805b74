"""The newest items of a catalogue: a short list that is right after every change, where a scan of all is too slow."""

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
        self._sorted: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None = None

    def put(self, row: int, created_at: float) -> None:
        """Sets when the item of a row was created, epoch ms, NaN where unknown."""
        known = self._created.pop(row, None)
        if created_at > self._oldest:
            self._created[row] = created_at
            if len(self._created) > 2 * self._most:
                self._prune()
        elif known is None:
            return
        self._sorted = None

    def between(self, after: float, until: float) -> npt.NDArray[np.int64]:
        """Rows (n,) created in (after, until], epoch ms, newest first."""
        if self._sorted is None:
            rows = np.fromiter(self._created, np.int64, len(self._created))
            times = np.fromiter(self._created.values(), np.float64, len(self._created))
            order = np.lexsort((rows, times))
            self._sorted = rows[order], times[order]
        rows, times = self._sorted
        first, end = np.searchsorted(times, (after, until), side="right")
        return rows[first:end][::-1]

    def _prune(self) -> None:
        newest = sorted(self._created.items(), key=lambda each: each[1])[-self._most :]
        self._created = dict(newest)
        self._oldest = newest[0][1]
