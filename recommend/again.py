"""When a person may want to buy an item again: an interval for each item they have bought, from their own purchases.

    interval(i) = (K · interval(c) + Σ gaps between purchases of i) / (K + number of those gaps)
    interval(c) = (K · DEFAULT + Σ gaps between purchases of c) / (K + number of those gaps)

c is the category of the item in which the person has bought most often. It is the posterior mean of the time
between purchases under a Gamma prior on their rate, the Poisson-Gamma model of Bhagat et al., "Buy It Again: Modeling
Repeat Purchase Recommendations" (KDD 2018), with the category's interval as the prior's mean and K gaps as its weight.
Gaps shorter than SAME_BASKET are one purchase.

A row keeps a person's last 50 interactions. Only the purchases among them count: of somebody who clicks a lot between
two purchases the older one is out of reach, and the interval falls back to the category's, or to DEFAULT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from feature_repo.columns import ItemColumns
from operators.time import DAY, HOUR

PURCHASE = "purchase"
DEFAULT = 30 * DAY
"""interval, ms, of somebody of whom no gap is known"""
K = 1.0
"""gaps that the prior counts as"""
SAME_BASKET = HOUR
DUE_FROM, DUE_UNTIL = 0.8, 3.0
"""shares of its interval between which an item is due: earlier the person still has it, later they have stopped"""

Source = Literal["item", "category", "default"]


class Repurchase(NamedTuple):
    """An item that was bought, and when it may be bought again."""

    row: int
    last: int
    """epoch ms"""
    purchases: int
    """of which times are in the row of the person, those of one basket counted once"""
    interval: float
    """ms"""
    source: Source
    """what the interval was learned from; `default` where no gap is known"""
    elapsed: float
    """time since the last purchase, in intervals"""

    @property
    def is_due(self) -> bool:
        return DUE_FROM <= self.elapsed <= DUE_UNTIL

    @property
    def score(self) -> float:
        """1 where the interval is just over; the share of it that has passed before, and its inverse after."""
        return min(self.elapsed, 1 / self.elapsed) if self.elapsed > 0 else 0.0


def repurchases(user: Mapping[str, Any], columns: ItemColumns, at: int) -> list[Repurchase]:
    """All items that the person (a row of `user_activity`) has bought as far back as the row goes, best first, as of
    `at`, epoch ms; items that the columns lack are left out."""
    bought = _purchases(user, columns, at)
    by_category: dict[int, list[int]] = {}
    for row, times in bought.items():
        for code in columns.categories[row].tolist():
            if code:
                by_category.setdefault(code, []).extend(times)
    found = []
    for row, times in bought.items():
        of_category, known = _interval(by_category.get(_code(row, columns, by_category), times[:1]), DEFAULT)
        interval, own = _interval(times, of_category)
        source: Source = "item" if own else "category" if known else "default"
        distinct = _distinct(times)
        elapsed = max(0, at - distinct[-1]) / interval
        found.append(Repurchase(row, distinct[-1], len(distinct), interval, source, elapsed))
    return sorted(found, key=lambda each: (-each.score, each.row))


def _purchases(user: Mapping[str, Any], columns: ItemColumns, at: int) -> dict[int, list[int]]:
    """Row → times of the purchases until `at`."""
    found: dict[int, list[int]] = {}
    recents = zip(user["recent_items"], user["recent_types"], user["recent_times"], strict=False)
    for item_id, kind, time in recents:
        row = columns.row_of.get(item_id)
        if kind == PURCHASE and row is not None and time <= at:
            found.setdefault(row, []).append(int(time))
    return found


def _code(row: int, columns: ItemColumns, by_category: Mapping[int, Sequence[int]]) -> int:
    """The item's category in which most was bought, the first of equal ones; 0 of an item without."""
    codes = [code for code in columns.categories[row].tolist() if code]
    return max(codes, key=lambda code: len(by_category[code]), default=0)


def _interval(times: Iterable[int], prior: float) -> tuple[float, bool]:
    """The posterior mean of the gaps between the times, ms, and whether there is any gap."""
    distinct = _distinct(times)
    gaps = len(distinct) - 1
    return (K * prior + distinct[-1] - distinct[0]) / (K + gaps), gaps > 0


def _distinct(times: Iterable[int]) -> list[int]:
    """The times, ascending, without those that follow another within SAME_BASKET."""
    found: list[int] = []
    for time in sorted(times):
        if not found or time - found[-1] >= SAME_BASKET:
            found.append(time)
    return found
