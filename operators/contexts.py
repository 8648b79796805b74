"""The contexts in which items are popular: quarters of weekdays and of the weekend, and kinds of devices.

There are few of them, and they are the same for every repository: an item has one number for each, whatever apps send.
"""

from __future__ import annotations

from functools import lru_cache

from operators.time import DAY
from schemas.local_time import STEP, local

DAYPARTS = ("night", "morning", "afternoon", "evening")
"""six hours each, from midnight on"""
TIMES = tuple(f"{days}_{part}" for days in ("weekday", "weekend") for part in DAYPARTS)
DEVICES = ("mobile", "tablet", "desktop", "tv")
CONTEXTS = (*TIMES, *DEVICES)

_KINDS = {
    "mobile": ("mobile", "phone", "smartphone", "ios", "iphone", "android"),
    "tablet": ("tablet", "ipad"),
    "desktop": ("desktop", "laptop", "web", "browser", "pc", "mac", "macos", "windows", "linux"),
    "tv": ("tv", "smarttv", "smart_tv", "smart-tv", "appletv", "tvos", "firetv", "roku"),
}
DEVICE_KINDS = {name: len(TIMES) + DEVICES.index(kind) for kind, names in _KINDS.items() for name in names}
"""name of a device, as apps send it → place among CONTEXTS"""

_PART = DAY // len(DAYPARTS)
_THURSDAY = 3
"""of the week, from Monday on: the day of the epoch"""


def time_context(at: int, zone: str = "") -> int:
    """The place among CONTEXTS of `at`, epoch ms, in a time zone (an IANA name; UTC for "" and for unknown ones)."""
    return _at_step(at // STEP, zone)


@lru_cache(4096)
def _at_step(step: int, zone: str) -> int:
    # Of a backlog or of now, most events are of few quarters of an hour.
    day, of_day = divmod(local(step * STEP, zone), DAY)
    return ((day + _THURSDAY) % 7 >= 5) * len(DAYPARTS) + of_day // _PART


def device_context(device: object) -> int | None:
    """The place among CONTEXTS of a device, by its name in any case; None where it is none of those known."""
    return DEVICE_KINDS.get(device.casefold()) if isinstance(device, str) else None


def contexts_of(at: int, zone: object = "", device: object = None) -> tuple[int, ...]:
    """Places among CONTEXTS of what happens at `at`, epoch ms: of the time and, where it is known, of the device."""
    time, kind = time_context(at, zone if isinstance(zone, str) else ""), device_context(device)
    return (time,) if kind is None else (time, kind)
