"""Durations in milliseconds, and their short names ("5m", "24h", "7d")."""

from __future__ import annotations

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
END = 2**62
"""epoch ms, after every event: the time of the end of a log"""


def minutes(n: float) -> int:
    """n minutes in milliseconds."""
    return round(n * MINUTE)


def hours(n: float) -> int:
    """n hours in milliseconds."""
    return round(n * HOUR)


def days(n: float) -> int:
    """n days in milliseconds."""
    return round(n * DAY)


DEFAULT_LATENESS = hours(24)
"""how far an event may be behind its user's latest one unless it is set otherwise, ms"""


def label(duration: int) -> str:
    """The short name: 300_000 → "5m". Up to two days are given in hours, as in "24h"."""
    if duration % DAY == 0 and duration > 2 * DAY:
        return f"{duration // DAY}d"
    if duration % HOUR == 0:
        return f"{duration // HOUR}h"
    if duration % MINUTE == 0:
        return f"{duration // MINUTE}m"
    return f"{duration // SECOND}s"
