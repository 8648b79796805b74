"""Lists of available items: popular everywhere, in a region, of a category; gaining fast; popular in a context."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from feature_repo.columns import UNKNOWN_POPULARITY, ItemColumns, Mask, Rows
from operators.time import SECOND
from recommend import contextual, velocity

LENGTH = 1000
"""a list is this long: the best of it, and room for items that people have met already"""
MAX_AGE_S = 1.0
"""for how long a list is used: sorting a large catalogue at each request would cost more than the rest of retrieval"""
SHARES_AGE_S = 60.0
"""for how long the shares of contexts are used: each event counts for weeks in them"""
LISTS = 1000
"""lists kept at most, 8 kB each"""

NONE: Rows = np.zeros(0, np.int64)


class Popular:
    """Rows, the best first."""

    def __init__(
        self, columns: ItemColumns, clock: Callable[[], float] | None = None, max_age_s: float = MAX_AGE_S
    ) -> None:
        """Lists are kept for `max_age_s` by a `clock` in seconds; without one they are made anew at each call, as it
        has to be where columns change between calls. Those that depend on the time of the request are kept for each
        second of it."""
        self.columns = columns
        self._clock = clock
        self._max_age_s = max_age_s
        self._lists: LRUCache[Hashable, tuple[float, Rows]] = LRUCache(LISTS)
        self._shares: tuple[float, npt.NDArray[np.float64]] = -np.inf, np.zeros(0)
        self._everything: tuple[float, Mask, Rows] = (-np.inf, np.zeros(0, bool), NONE)

    def everywhere(self, allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The most popular items. With `allowed`, a mask over the rows of available ones: of those, at least k where
        there are so many."""
        return self._popular(0, "", allowed, k)

    def within(self, region: str, allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The most popular items of a region; none for a region without events."""
        return self._popular(0, region, allowed, k) if region else NONE

    def of_category(self, code: int, region: str = "", allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The most popular items of a category, by its code in the columns."""
        return self._popular(code, region, allowed, k)

    def of_brand(self, code: int, allowed: Mask, k: int = LENGTH) -> Rows:
        """The most popular items of a brand, by its code in the columns, among those that `allowed`, a mask over the
        rows of available ones, lets pass: at least k where there are so many. No list of a brand is kept, since there
        are more brands than lists, and few items of each."""
        rows = self.columns.by_brand.of(code)
        rows = rows[rows < len(allowed)]
        return _best(self.columns.popularity, rows[allowed.take(rows)], known_only=False)[:k]

    def all(self, allowed: Mask | None = None) -> Rows:
        """Every available item, most popular first: for people who have met all that is popular."""
        if self._clock is None:
            return self._ordered(self.columns.available if allowed is None else allowed)
        if allowed is not None:
            rows = self.all()
            rows = rows[rows < len(allowed)]
            return rows[allowed.take(rows)]
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

    def rising(self, at: int, region: str = "", code: int = 0, allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The items that gain faster than their own baseline at `at`, epoch ms, the fastest first: everywhere or in a
        region, of all categories or of one, by its code."""
        columns = self.columns
        if columns.recent_in(region) is None:  # not kept: anybody can ask for any region
            return NONE

        def make(allowed: Mask | None) -> Rows:
            return velocity.rising(columns, self._of(code, allowed), at, region)[:LENGTH]

        return self._list(("rising", code, region, at // SECOND), make, allowed, k)

    def in_context(self, context: int, at: int, allowed: Mask | None = None, k: int = LENGTH) -> Rows:
        """The items that are more popular in the context, a place among CONTEXTS, than elsewhere, the most popular
        there first."""

        def make(allowed: Mask | None) -> Rows:
            return contextual.typical(self.columns, self._of(0, allowed), context, self.shares(at), at)[:LENGTH]

        return self._list(("context", context, at // SECOND), make, allowed, k)

    def shares(self, at: int) -> npt.NDArray[np.float64]:
        """The share (contexts,) that each context has of all events of its kind at `at`, epoch ms."""
        if self._clock is None:
            return contextual.shares(self.columns, at)
        now = self._clock()
        made, found = self._shares
        if now - made >= SHARES_AGE_S:
            found = contextual.shares(self.columns, at)
            if found.any():  # before the catalogue has been read there are none
                self._shares = now, found
        return found

    def _popular(self, code: int, region: str, allowed: Mask | None, k: int) -> Rows:
        values = self.columns.popular_in(region) if region else self.columns.popularity
        if values is None:  # not kept: anybody can ask for any region
            return NONE

        def make(allowed: Mask | None) -> Rows:
            return _best(values, self._of(code, allowed), known_only=bool(region))

        return self._list(("popular", code, region), make, allowed, k)

    def _list(self, key: Hashable, make: Callable[[Mask | None], Rows], allowed: Mask | None, k: int) -> Rows:
        """What `make` gives for a mask of items, or for all that are available; of those kept where it is enough."""
        if self._clock is None:
            return make(allowed)
        made, rows = self._lists.get(key, (-np.inf, NONE))
        now = self._clock()
        if now - made >= self._max_age_s:
            rows = make(None)
            self._lists[key] = now, rows
        if allowed is None:
            return rows
        passing = rows[rows < len(allowed)]
        passing = passing[allowed.take(passing)]
        if len(passing) >= k or len(rows) < LENGTH:  # the best of all, or all that there are
            return passing
        return make(allowed)

    def _of(self, code: int, allowed: Mask | None) -> Rows:
        """The allowed or available rows, ascending, of a category where one is given."""
        mask = self.columns.available if allowed is None else allowed
        if not code:
            return np.flatnonzero(mask)
        rows = self.columns.by_category.of(code)
        rows = rows[rows < len(mask)]
        return rows[mask.take(rows)]


def _best(values: npt.NDArray[np.float64], rows: Rows, known_only: bool) -> Rows:
    """The LENGTH rows of the largest values; with `known_only` of those that have one."""
    rows = rows[rows < len(values)]
    scores = values.take(rows)
    if known_only:
        known = scores > UNKNOWN_POPULARITY
        rows, scores = rows[known], scores[known]
    if len(rows) > LENGTH:
        least = np.partition(scores, -LENGTH)[-LENGTH]
        above, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        best = np.concatenate([above, equal[: LENGTH - len(above)]])
        rows, scores = rows[best], scores[best]
    return rows[np.lexsort((rows, -scores))]
