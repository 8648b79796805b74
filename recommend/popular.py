"""Lists of popular items that are available: everywhere, by region, by category."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from feature_repo.columns import UNKNOWN_POPULARITY, ItemColumns, Mask, Rows

LENGTH = 1000
"""a list is this long: the best of it, and room for items that people have met already"""
MAX_AGE_S = 1.0
"""for how long a list is used: sorting a large catalogue at each request would cost more than the rest of retrieval"""
LISTS = 1000
"""lists kept at most, 8 kB each"""

NONE: Rows = np.zeros(0, np.int64)


class Popular:
    """Rows by popularity, most popular first."""

    def __init__(
        self, columns: ItemColumns, clock: Callable[[], float] | None = None, max_age_s: float = MAX_AGE_S
    ) -> None:
        """Lists are kept for `max_age_s` by a `clock` in seconds; without one they are made anew at each call, as it
        has to be where columns change between calls."""
        self.columns = columns
        self._clock = clock
        self._max_age_s = max_age_s
        self._lists: LRUCache[tuple[int, str], tuple[float, Rows]] = LRUCache(LISTS)
        self._everything: tuple[float, Mask, Rows] = (-np.inf, np.zeros(0, bool), NONE)

    def everywhere(self, allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The most popular items. With `allowed`, a mask over the rows of available ones: of those, at least k where
        there are so many."""
        return self._list(0, "", allowed, k)

    def within(self, region: str, allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The most popular items of a region; none for a region without events."""
        return self._list(0, region, allowed, k) if region else NONE

    def of_category(self, code: int, region: str = "", allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The most popular items of a category, by its code in the columns."""
        return self._list(code, region, allowed, k)

    def all(self, allowed: Mask | None = None) -> Rows:
        """Every available item, most popular first: for people who have met all that is popular."""
        if allowed is not None or self._clock is None:
            return self._ordered(self.columns.available if allowed is None else allowed)
        now, available = self._clock(), self.columns.available
        made, were, rows = self._everything
        if now - made < self._max_age_s:
            if np.array_equal(were, available):
                return rows
            rows = rows[available.take(rows)]
            if len(rows) == np.count_nonzero(available):  # nothing has become available since
                return rows
        rows = self._ordered(available)
        self._everything = now, available.copy(), rows
        return rows

    def _ordered(self, allowed: Mask) -> Rows:
        rows = np.flatnonzero(allowed)
        return rows[np.argsort(-self.columns.popularity[rows], kind="stable")]

    def _list(self, code: int, region: str, allowed: Mask | None, k: int) -> Rows:
        values = self.columns.popular_in(region) if region else self.columns.popularity
        if values is None:  # not kept: anybody can ask for any region
            return NONE
        if self._clock is None:
            return self._sorted(values, code, bool(region), allowed)
        made, rows = self._lists.get((code, region), (-np.inf, NONE))
        now = self._clock()
        if now - made >= self._max_age_s:
            rows = self._sorted(values, code, known_only=bool(region))
            self._lists[code, region] = now, rows
        if allowed is None:
            return rows
        passing = rows[rows < len(allowed)]
        passing = passing[allowed.take(passing)]
        if len(passing) >= k or len(rows) < LENGTH:  # the best of all, or all that there are
            return passing
        return self._sorted(values, code, bool(region), allowed)

    def _sorted(
        self, values: npt.NDArray[np.float64], code: int, known_only: bool, allowed: Mask | None = None
    ) -> Rows:
        rows = np.flatnonzero(self.columns.available if allowed is None else allowed)
        rows = rows[rows < len(values)]
        if code:
            rows = rows[(self.columns.categories.take(rows, axis=0) == code).any(axis=1)]
        scores = values.take(rows)
        if known_only:
            known = scores > UNKNOWN_POPULARITY
            rows, scores = rows[known], scores[known]
        if len(rows) > LENGTH:
            best = np.argpartition(-scores, LENGTH)[:LENGTH]
            rows, scores = rows[best], scores[best]
        return rows[np.lexsort((rows, -scores))]
