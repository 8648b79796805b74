"""Limits of what can be declared."""

from __future__ import annotations

from operators.time import DAY, MINUTE
from schemas.errors import FeatureError

SHORTEST, LONGEST = MINUTE, 90 * DAY
"""of a window, ms"""


def within(what: str, length: int, longest: int = LONGEST) -> None:
    """Raises FeatureError, which begins with `what`, unless `length` is an int from SHORTEST to `longest` ms."""
    if not isinstance(length, int) or not SHORTEST <= length <= longest:
        raise FeatureError(f"{what} of {length!r} ms; from 1 minute to {longest // DAY} days is possible")
