"""Categories and brands by the events of their items: how popular each is now, and how fast it gains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from cachetools import LRUCache

from feature_repo.columns import UNKNOWN_POPULARITY, ItemColumns
from recommend import velocity
from recommend.popular import MAX_AGE_S
from recommend.shrinkage import Numbers

Kind = Literal["categories", "brands"]
By = Literal["popularity", "velocity"]
KEPT = 100
"""sums kept at most, 32 bytes for each category or brand"""


class Trend(NamedTuple):
    """A category or a brand."""

    name: str
    popularity: float
    """decayed, weighted events of its items; 0 where they are too long ago to be told from none"""
    velocity: float
    """how many times its own baseline it gains events now"""
    items: int
    """available items that it has events of"""


@dataclass(frozen=True)
class _Sums:
    """By code in the columns, each (codes,); the first is of items without a name."""

    popularity: Numbers
    relative: Numbers
    """popularity in units of the most popular item's: also of a log whose events are all years ago"""
    times: Numbers
    at_least: Numbers
    items: Numbers


class TrendingGroups:
    """Sums over the available items, which are made once a second at most for each kind and region."""

    def __init__(self, columns: ItemColumns, clock: Callable[[], float], max_age_s: float = MAX_AGE_S) -> None:
        """`clock` is in seconds."""
        self._columns = columns
        self._clock = clock
        self._max_age_s = max_age_s
        self._kept: LRUCache[tuple[Kind, str], tuple[float, _Sums]] = LRUCache(KEPT)

    def best(self, kind: Kind, at: int, n: int, by: By = "popularity", region: str = "") -> list[Trend]:
        """The first n at `at`, epoch ms, everywhere or in a region: the most popular, or those that gain faster than
        their own baseline with a probability of 95 %, the fastest first. None without events is among them. An item of
        several categories counts in each of them."""
        sums = self._sums(kind, at, region)
        order = sums.at_least if by == "velocity" else sums.relative
        codes = np.flatnonzero(order > (1.0 if by == "velocity" else 0.0))
        codes = codes[codes > 0]
        codes = codes[np.lexsort((codes, -order[codes]))][:n]
        names = (self._columns.brand_codes if kind == "brands" else self._columns.category_codes).names
        return [
            Trend(names[code], float(sums.popularity[code]), float(sums.times[code]), int(sums.items[code]))
            for code in codes.tolist()
        ]

    def _sums(self, kind: Kind, at: int, region: str) -> _Sums:
        now = self._clock()
        made, sums = self._kept.get((kind, region), (-np.inf, None))
        if sums is None or now - made >= self._max_age_s:
            sums = self._summed(kind, at, region)
            if self._columns.recent_in(region) is not None:  # anybody can ask for any region
                self._kept[kind, region] = now, sums
        return sums

    def _summed(self, kind: Kind, at: int, region: str) -> _Sums:
        columns = self._columns
        rows = np.flatnonzero(columns.available)
        values = columns.popular_in(region) if region else columns.popularity
        rows = rows[: np.searchsorted(rows, len(values))] if values is not None else rows[:0]
        logs = columns.popularity[:0] if values is None else values.take(rows)
        some = logs > UNKNOWN_POPULARITY
        rows, logs = rows[some], logs[some]
        popular, recent = velocity.counts(columns, rows, at, region)
        relative = np.exp2(logs - logs.max(initial=UNKNOWN_POPULARITY))
        if kind == "brands":
            codes = columns.brand.take(rows)[:, None]
        else:
            codes = columns.categories.take(rows, axis=0)
        size = int(codes.max(initial=0)) + 1
        all_of, relative_of, recent_of, items = np.zeros((4, size))
        for column in codes.T:
            named = np.flatnonzero(column)
            if not len(named):  # the first columns are filled first
                break
            of = column.take(named)
            all_of += np.bincount(of, popular.take(named), size)
            relative_of += np.bincount(of, relative.take(named), size)
            recent_of += np.bincount(of, recent.take(named), size)
            items += np.bincount(of, minlength=size)
        found = velocity.velocity(all_of, recent_of)
        return _Sums(all_of, relative_of, found.times, found.at_least, items)
