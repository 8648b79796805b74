"""Digests: whether a person gets a message now, from what was sent to them, the time of day where they are, and what
they want.

    sent in this period? ─► capped? ─► quiet hours? ─► send
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from operators.time import DAY, HOUR, days, hours
from schemas.local_time import STEP, is_zone, local

WANTED = "digests"
"""the attribute of a profile that opts out: false of all channels, a list of names of all but these"""
TIMEZONE = "timezone"
"""the attribute of a profile with the IANA name of the person's time zone"""
LONGEST = days(60)
"""of a cap: the log of what was sent is read as far back"""


class MessageCap(NamedTuple):
    """At most so many messages within any stretch of so many ms."""

    most: int
    within: int


EARLIER = hours(4)
"""by how much a run may be earlier in the day than the one before, and find nobody capped by that one"""
A_DAY, A_WEEK = DAY - EARLIER, days(7) - EARLIER
"""of caps"""
ONE_A_DAY = (MessageCap(1, A_DAY),)


@dataclass(frozen=True, kw_only=True)
class DigestPlan:
    """How a surface is sent as messages."""

    caps: tuple[MessageCap, ...] = ONE_A_DAY
    """of all messages of the channel"""
    quiet: tuple[int, int] | None = (22, 8)
    """local hours from the first to before the second in which nothing is sent, over midnight where it is the larger"""
    timezone: str = "UTC"
    """of people whose profile names none"""
    least: int = 3
    """items; with fewer nothing is sent"""
    channel: str = ""
    """surfaces of one channel share its caps; the surface's name where empty"""

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        for cap in self.caps:
            if cap.most < 1 or not 0 < cap.within <= LONGEST:
                raise ValueError(f"digest: a cap is at least one message, within {LONGEST // DAY} days at most")
        if self.quiet is not None and not all(0 <= hour <= 24 for hour in self.quiet):
            raise ValueError(f"digest: quiet is {self.quiet}; it is two hours, 0 to 24")
        if self.quiet is not None and (self.quiet[1] - self.quiet[0]) % 24 == 0:
            raise ValueError(f"digest: quiet is {self.quiet}, which leaves no hour or all; None is no quiet hours")
        if self.timezone != "UTC" and not is_zone(self.timezone):
            raise ValueError(f"digest: there is no time zone {self.timezone}")
        if self.least < 1:
            raise ValueError(f"digest: least is {self.least}; it is one item or more")


def wants(attributes: Mapping[str, Any], channel: str) -> bool:
    """Whether a person with these attributes gets messages of the channel. What is neither true nor a list with its
    name is an opt-out."""
    said = attributes.get(WANTED, True)
    return said is True or (isinstance(said, list) and channel in said)


def zone_of(digest: DigestPlan, attributes: Mapping[str, Any]) -> str:
    """The person's time zone."""
    name = attributes.get(TIMEZONE)
    return name if isinstance(name, str) and name and (name == "UTC" or is_zone(name)) else digest.timezone


def is_capped(digest: DigestPlan, sent: Sequence[int], now: int) -> bool:
    """Whether one more message at `now` would be above a cap; `sent` are the times of the channel's messages, all in
    epoch ms."""
    return any(sum(at > now - cap.within for at in sent) >= cap.most for cap in digest.caps)


def is_quiet(digest: DigestPlan, now: int, zone: str) -> bool:
    """Whether `now`, epoch ms, is within the quiet hours of the zone."""
    if digest.quiet is None:
        return False
    start, end = digest.quiet
    hour = local(now, zone) % DAY / HOUR
    return start <= hour < end if start < end else hour >= start or hour < end


def quiet_until(digest: DigestPlan, now: int, zone: str) -> int | None:
    """When the quiet hours end that `now` is in, epoch ms; None outside of them. Where clocks are put forward or back
    meanwhile, as those clocks show it."""
    if not is_quiet(digest, now, zone):
        return None
    at = now - now % STEP + STEP  # zones change their offset, and hours begin, at multiples of STEP alone
    while is_quiet(digest, at, zone):
        at += STEP
    return at
