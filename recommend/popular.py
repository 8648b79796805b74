"""What is popular, everywhere and by region, among the items that can be had."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from feature_repo.columns import UNKNOWN_POPULARITY, ItemColumns, Rows

LENGTH = 1000
"""a list is this long: the best of it, and room for what people have met already"""


class Popular:
    """Rows by popularity, most popular first. Lists are kept for `max_age_s`: sorting a large catalogue
    at each request would cost more than the rest of retrieval."""

    def __init__(self, columns: ItemColumns, max_age_s: float = 0.0) -> None:
        self.columns = columns
        self._max_age_s = max_age_s
        self._lists: dict[str, tuple[float, Rows]] = {}

    def everywhere(self) -> Rows:
        """The most popular items."""
        return self._list("", self.columns.popularity)

    def within(self, region: str) -> Rows:
        """The most popular items of a region; none where nothing has happened there."""
        values = self.columns.popular_in(region) if region else None
        return np.zeros(0, np.int64) if values is None else self._list(region, values)

    def all(self) -> Rows:
        """Every available item, most popular first: for people who have met all that is popular."""
        columns = self.columns
        rows = np.flatnonzero(columns.available)
        return rows[np.argsort(-columns.popularity[rows], kind="stable")]

    def of_category(self, code: int, region: str = "") -> Rows:
        """The most popular items of a category, by its code in the columns."""
        columns = self.columns
        values = columns.popular_in(region) if region else columns.popularity
        if values is None:
            return np.zeros(0, np.int64)
        n = len(values)
        rows = np.flatnonzero((columns.categories[:n] == code).any(axis=1) & columns.available[:n])
        known = rows[values[rows] > UNKNOWN_POPULARITY] if region else rows
        return known[np.argsort(-values[known], kind="stable")[:LENGTH]]

    def _list(self, region: str, values: npt.NDArray[np.float64]) -> Rows:
        made, rows = self._lists.get(region, (-np.inf, None))
        now = time.monotonic()
        if rows is None or now - made >= self._max_age_s:
            rows = self._sorted(values, known_only=bool(region))
            self._lists[region] = (now, rows)
        return rows

    def _sorted(self, values: npt.NDArray[np.float64], known_only: bool) -> Rows:
        n = len(values)
        scores = np.where(self.columns.available[:n], values, -np.inf)
        floor = UNKNOWN_POPULARITY if known_only else -np.inf
        best = np.argpartition(-scores, LENGTH)[:LENGTH] if n > LENGTH else np.arange(n)
        best = best[scores[best] > floor]
        return best[np.lexsort((best, -scores[best]))]
