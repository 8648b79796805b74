"""What other people liked lately: those whom a person follows, or those who are like them.

    score(i) = Σ over people p  weight(p) · 2^(-age / HALF_LIFE)

of the people who have, among the recent interactions of their row, one with i of a taste of LIKED or more, and have not
turned it down since: a purchase, a like, a high rating, a share, an item put into the cart. The last such interaction
counts, and each person once for an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns, Rows
from operators.time import DAY

FRIENDS, ALIKE = "friends", "people_like_you"
"""whose favourites a query may have"""
HALF_LIFE = 14 * DAY
LATELY = 90 * DAY
"""older interactions do not count"""
LIKED = 2.0
"""least taste of an interaction (feature_repo/views.py) that says that somebody liked the item"""


class Favourites(NamedTuple):
    """Items that others liked, best first."""

    rows: Rows
    scores: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]
    """how many people liked each"""


NO_FAVOURITES = Favourites(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))


def favourites(columns: ItemColumns, people: Iterable[tuple[Mapping[str, Any], float]], at: int) -> Favourites:
    """What these people liked, as of `at`, epoch ms. A person is a row of `user_activity` (field name → value), of
    which the recent interactions are read, and a weight above 0."""
    scores: dict[int, float] = {}
    counts: dict[int, int] = {}
    for row, weight in people:
        met: set[str] = set()
        recents = zip(row["recent_items"], row["recent_times"], row["recent_tastes"], strict=True)
        for item_id, time, taste in recents:
            if item_id in met or at - time > LATELY:
                continue
            if 0 <= taste < LIKED:
                continue
            met.add(item_id)
            place = columns.row_of.get(item_id) if taste > 0 else None
            if place is not None:
                scores[place] = scores.get(place, 0.0) + weight * 2.0 ** (-max(0, at - time) / HALF_LIFE)
                counts[place] = counts.get(place, 0) + 1
    if not scores:
        return NO_FAVOURITES
    rows = np.fromiter(scores, np.int64, len(scores))
    values = np.fromiter(scores.values(), np.float32, len(scores))
    order = np.lexsort((rows, -values))
    return Favourites(rows[order], values[order], np.fromiter(counts.values(), np.int64, len(counts))[order])
