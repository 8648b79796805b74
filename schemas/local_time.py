"""The time of day where a person is, from the IANA name of their time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

STEP = 15 * 60 * 1000
"""ms; zones change their offset at a multiple of this alone"""


@lru_cache(4096)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name; UTC where there is none of that name, since profiles are free text."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def is_zone(name: str) -> bool:
    """Whether there is a time zone of that name."""
    return zone(name) is not UTC


def local(at: int, name: str) -> int:
    """What the clocks of the zone show at `at`, epoch ms, as if they showed UTC; UTC for "" and for unknown zones."""
    return at + _offset(name, at // STEP) if name else at


@lru_cache(4096)
def _offset(name: str, step: int) -> int:
    """What the zone is ahead of UTC from `step` · STEP on, ms."""
    try:
        ahead = datetime.fromtimestamp(step * STEP / 1000, zone(name)).utcoffset()
    except (ValueError, OverflowError, OSError):  # a year that the calendar does not have
        return 0
    return 0 if ahead is None else ahead // timedelta(milliseconds=1)
