"""When changed rows leave an operator: at once, or all together at points of the wall clock."""

from __future__ import annotations

PATIENCE = 4
"""A boundary is this share of how far behind the broker's clock the events are, or down to half of it: who has waited
for a second loses little by another quarter, and a backlog is worked off with fewer writes, each of a row that changed
several times."""
LONGEST_INTERVAL_MS = 30_000
EAGER_MS = 80
"""Nothing waits for a boundary until events are so late: before that few rows change twice within one. Beyond, several
at a time take less work each; with a higher limit a job that could not keep up one by one stayed that late."""
SPREAD = 60
"""Items leave at so many boundaries within their interval: all at one, their rows would keep Python from the users'
operator for longer than a click may wait. Users who are late share one, so that their news of an item go in one
message."""


class Boundaries:
    """Multiples of an interval, epoch ms: `base_ms` where events are in time, longer where they are late."""

    def __init__(self, base_ms: int, now: int, spread: int = 1, eager: bool = False) -> None:
        """`eager` where nothing waits for a boundary as long as elements are in time."""
        self.arrived = now
        """the broker's time of the element last read, epoch ms"""
        self._base = self._interval = base_ms
        self._spread = spread
        self._eager = eager
        self._behind = 0

    def read(self, arrived: int, now: int) -> int:
        """Sets boundaries as far apart as an element is late. Returns by how many ms it is."""
        self.arrived = arrived
        self._behind = behind = now - arrived
        # Doubled as often as it fits: keys share a boundary where they share an interval.
        wanted, interval = min(behind // PATIENCE, LONGEST_INTERVAL_MS), self._base
        while interval * 2 <= wanted:
            interval *= 2
        self._interval = interval
        return behind

    @property
    def at_once(self) -> bool:
        """Whether what the element last read changes leaves without a boundary."""
        return self._eager and self._behind < EAGER_MS

    def rest(self) -> None:
        """No lateness until the next late element: the last ones before a pause need not wait."""
        self._interval = self._base

    def after(self, now: int) -> int:
        """The next boundary."""
        # A backlog is worked off fastest with few and large writes: nobody waits for milliseconds then.
        step = self._interval // self._spread if self._interval == self._base else self._interval
        return (now + self._interval) // max(step, 1) * max(step, 1)

    def too_late(self, boundary: int, now: int) -> bool:
        """Whether there is an earlier one than `boundary`, 0 where none is set. One that was set while events were far
        behind gives way, so that the end of a backlog holds nobody's click back."""
        return not boundary or boundary > now + 2 * self._interval
