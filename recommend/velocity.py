"""How fast items gain events, against their own baseline.

    recent(t)   = Σ w · 2^(-age / 6 h)           decayed events of the last hours
    all(t)      = Σ w · 2^(-age / 7 d)           decayed events of the last days
    expected(t) = (all - recent) · 6 h / (7 d - 6 h)

`all - recent` is the sum with the kernel 2^(-age / 7 d) - 2^(-age / 6 h), which is 0 for an event of now and largest
after a day or so: the baseline leaves the latest events out, so that a burst does not raise what it is compared with.
At a constant rate r the two sums are r · half_life / ln 2, and `expected` is `recent`: the velocity of a steady item is
1. Counts are divided by the largest weight of an event, so that none counts as more than one, and shrunk towards 1
(recommend/shrinkage.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from feature_repo.columns import ItemColumns, Rows
from feature_repo.views import POPULARITY, RECENT_POPULARITY
from recommend.shrinkage import Numbers, at_least, shrunk

LONG, SHORT = POPULARITY.half_life, RECENT_POPULARITY.half_life
HEAVIEST = max(POPULARITY.weights.values())
_RATIO = SHORT / (LONG - SHORT)


class Velocity(NamedTuple):
    """Of n items, or groups of items, each (n,)."""

    times: Numbers
    """how many times its baseline each gains now"""
    at_least: Numbers
    """the same, at least, with a probability of 95 %: what items are ordered by"""


def velocity(popular: Numbers, recent: Numbers) -> Velocity:
    """The velocity of what has so many decayed, weighted events (n,), by the long half-life and by the short one."""
    expected = np.maximum(popular - recent, 0.0) * (_RATIO / HEAVIEST)
    happened = recent / HEAVIEST
    return Velocity(shrunk(happened, expected), at_least(happened, expected))


def counts(columns: ItemColumns, rows: Rows, at: int, region: str = "") -> tuple[Numbers, Numbers]:
    """Decayed, weighted events of `rows` (n,) at `at`, epoch ms, by the long half-life and by the short one; in a
    region, if one is named."""
    popular = columns.popular_in(region) if region else columns.popularity
    recent = columns.recent_in(region)
    if popular is None or recent is None:
        nothing = np.zeros(len(rows))
        return nothing, nothing
    return POPULARITY.count(popular.take(rows), at), RECENT_POPULARITY.count(recent.take(rows), at)


def of_items(columns: ItemColumns, rows: Rows, at: int, region: str = "") -> Velocity:
    """The velocity of `rows` (n,) at `at`, epoch ms."""
    return velocity(*counts(columns, rows, at, region))


def rising(columns: ItemColumns, rows: Rows, at: int, region: str = "") -> Rows:
    """Those of `rows` (n,), ascending, that gain faster than their baseline with a probability of 95 %, the fastest
    first."""
    recent = columns.recent_in(region)
    if recent is None:
        return rows[:0]
    rows = rows[rows < len(recent)]
    rows = rows[RECENT_POPULARITY.count(recent.take(rows), at) >= HEAVIEST]  # of fewer events none is rising
    found = of_items(columns, rows, at, region).at_least
    rows, found = rows[found > 1.0], found[found > 1.0]
    return rows[np.lexsort((rows, -found))]
