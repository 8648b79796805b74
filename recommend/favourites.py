"""What other people liked lately: those whom a person follows, or those who are like them.

    score(i) = Σ over people p  weight(p) · 2^(-age / HALF_LIFE)

of the people who have, among the recent interactions of their row, one with i of a taste of LIKED or more, and have not
turned it down since: a purchase, a like, a high rating, a share, an item put into the cart. The last such interaction
counts, and each person once for an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


Likes = Sequence[tuple[str, int]]
"""items that a person liked, each once, and when, epoch ms"""


def likes(row: Mapping[str, Any]) -> list[tuple[str, int]]:
    """What a person liked, newest first, from the recent interactions of a row of `user_activity` (field name →
    value)."""
    found: dict[str, int | None] = {}
    for item_id, time, taste in zip(row["recent_items"], row["recent_times"], row["recent_tastes"], strict=True):
        if not 0 <= taste < LIKED:
            found.setdefault(item_id, int(time) if taste > 0 else None)
    return [(item_id, time) for item_id, time in found.items() if time is not None]


def favourites(columns: ItemColumns, people: Iterable[tuple[Likes, float]], at: int) -> Favourites:
    """What these people liked lately, as of `at`, epoch ms; each has a weight above 0."""
    scores: dict[int, float] = {}
    counts: dict[int, int] = {}
    for liked, weight in people:
        for item_id, time in liked:
            row = columns.row_of.get(item_id)
            if row is not None and at - time <= LATELY:
                scores[row] = scores.get(row, 0.0) + weight * 2.0 ** (-max(0, at - time) / HALF_LIFE)
                counts[row] = counts.get(row, 0) + 1
    if not scores:
        return NO_FAVOURITES
    rows = np.fromiter(scores, np.int64, len(scores))
    values = np.fromiter(scores.values(), np.float32, len(scores))
    order = np.lexsort((rows, -values))
    return Favourites(rows[order], values[order], np.fromiter(counts.values(), np.int64, len(counts))[order])
