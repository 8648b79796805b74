"""The costs of operations by what their operands are."""

from __future__ import annotations

from recommend.filtering.cost import COLUMN, LIST, LONG_LIST, NUMBERS, PAIRS, STEP, TEXTS
from recommend.filtering.typed import Typed
from recommend.filtering.values import Kind


def values(a: Typed, b: Typed) -> int:
    """The cost of comparing two values that are not strings."""
    return COLUMN if a.of_rows or b.of_rows else STEP


def strings(a: Typed, b: Typed, one_of_rows: int) -> int:
    """The cost of comparing two strings; `one_of_rows` where one of them differs by item."""
    if a.of_rows and b.of_rows:
        return PAIRS
    if not (a.of_rows or b.of_rows):
        return STEP
    return one_of_rows if a.indexed and b.indexed else TEXTS


def membership(a: Typed, b: Typed, kind: Kind) -> int:
    """The cost of looking for `a`, of the kind, in the list `b`."""
    if b.of_rows:
        return PAIRS if a.of_rows else LIST
    if not a.of_rows:
        return STEP * (b.size or LONG_LIST)
    return NUMBERS if kind is Kind.NUMBER else 4 * COLUMN if a.indexed else TEXTS
