"""The times from which the profiles of one person hold."""

from __future__ import annotations

from dataclasses import dataclass

from operators.contract import NEVER
from operators.time import DAY

IMPORTED = DAY
"""An event that the broker had so long after it happened, ms, is one of an imported history, in which the order of
events and profiles says nothing."""


@dataclass(slots=True)
class ProfileTimes:
    """Takes the profiles and accepted events of one person in the order in which the job applies them. Times are epoch
    ms."""

    has_profile: bool = False
    latest: int = 0
    """of the events since the first profile"""
    live_since: int = NEVER
    """when the broker had the first of the events that were sent as they happened"""
    live_latest: int = 0
    """the latest time of such events"""

    def profile(self, arrived: int) -> int:
        """The time from which the next profile holds, which the broker had at `arrived`.

        The first one holds from the start, 0: profiles and histories are imported in no common order, and the job takes
        topics in any order. One that the broker had after a live event was not known to it.
        """
        at = max(self.latest, arrived if arrived < NEVER else 0)
        if not self.has_profile:
            self.has_profile = True
            return 0 if arrived <= self.live_since else max(at, self.live_latest)
        return at

    def event(self, timestamp: int, arrived: int) -> None:
        """Takes an event of `timestamp`, which the broker had at `arrived`."""
        if self.has_profile:
            self.latest = max(self.latest, timestamp)
        if arrived - timestamp < IMPORTED:
            self.live_since = min(self.live_since, arrived)
            self.live_latest = max(self.live_latest, timestamp)
