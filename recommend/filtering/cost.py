"""What the parts of a filter cost, and how much one filter may.

Costs are estimates in µs for a catalogue of 100,000 items, measured on one core of the machine of the benchmarks, at
most: with strings that differ from item to item, and three elements in each list on average.
"""

from __future__ import annotations

from recommend.filtering.errors import FilterError

MOST_COST = 50_000
STEP = 4
"""a step that computes with values of the request alone"""
LONG_LIST = 10
"""looking for a value in a list of the person, in such steps"""
CALCULATED = 3
"""a calculation with values of the request, in such steps"""
COLUMN = 50
"""reading a column, which a filter does once, and comparing one"""
CALCULATION = 150
REMAINDER = 2_500
"""% of columns"""
NUMBERS = 5_000
"""looking for a column's numbers in a list"""
LIST = 5_000
"""going through all elements of a list of items"""
TEXTS = 12_000
"""a test of strings that differ by item, one by one: functions, and the order of strings"""
TITLES = 13_000
"""reading titles, which have no column"""
PAIRS = 35_000
"""comparing strings of an item with others of the same item"""

EXPENSIVE = "titles, functions of strings, lists, and comparisons of two strings of one item"


class TotalCost:
    """The sum of the costs of one filter."""

    def __init__(self) -> None:
        self.total = 0
        self._times = 1

    def add(self, at: int, cost: int, once: bool = False) -> None:
        """Adds a cost, `once` even within `exists` and `all`. Raises FilterError where the sum is over the limit."""
        self.total += cost if once else cost * self._times
        if self.total > MOST_COST:
            within = f", {self._times} times within exists or all over a list of the person" if self._times > 1 else ""
            raise FilterError(
                at,
                f"with this part{within}, the filter takes too long to evaluate; expensive are {EXPENSIVE}. An item's "
                "list can be compared with the person's as item.categories.exists(c, c in user.interests)",
            )

    def repeat(self, times: int) -> None:
        """What is added from here on counts so many times."""
        self._times = times
