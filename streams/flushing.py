"""When an operator's changed rows are flushed: immediately, or together at multiples of a flush interval.

The lateness of elements sets the interval. It is measured against elements that arrived while nothing was
queued, so that a constant difference between the broker's clock and the worker's makes nothing late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

SHARE = 4
"""The flush interval is the lateness divided by this, or down to half of that: an event that has waited for a second
loses little by another quarter, and a backlog takes fewer writes, each of a row that changed several times."""
LONGEST_INTERVAL_MS = 30_000
EAGER_MS = 80
"""Up to this lateness rows are flushed immediately: few change twice within one interval. Beyond, rows that are flushed
together take less work each; with a higher limit a job that could not keep up one by one stayed that late."""
SPREAD = 60
"""Items are flushed at so many times within their interval: all at one, their rows would keep Python from the users'
operator for longer than a click may wait. Late users share one, so that their signals of an item go in one message."""
IDLE_MS = 20
"""An element that comes so long after the one before was not queued behind it: what it seems late by is the difference
of the clocks, and the way from the broker."""
LARGEST_SKEW_MS = 5_000
"""of the clocks, either way; more is taken for lateness"""
SAMPLES = 50
"""elements that were not queued, of which the one that seems least late says the difference of the clocks: the others
were held up on their way"""


class Flushing:
    """Flush times, epoch ms: multiples of `base_ms` where events are on time, of a longer interval where they are
    late."""

    def __init__(
        self, base_ms: int, spread: int = 1, eager: bool = False, soon_ms: int = 0, soon: Collection[str] = ()
    ) -> None:
        """`eager`: rows are flushed immediately as long as elements are on time. `soon_ms` is the interval of keys of
        which one of the parts `soon` has changed, as long as elements are on time."""
        self._base = self._interval = base_ms
        self._soon_ms, self._soon = soon_ms, frozenset(soon)
        self._spread = spread
        self._eager = eager
        self._late = 0
        self._skew = 0
        self._samples: deque[int] = deque(maxlen=SAMPLES)
        self._busy_until: int | None = None

    def read(self, arrived: int, now: int) -> int:
        """Sets the interval from an element that reached the broker at `arrived` and the worker at `now`, epoch ms.
        Returns its lateness, ms."""
        behind = now - arrived
        if self._busy_until is not None and now - self._busy_until >= IDLE_MS and abs(behind) <= LARGEST_SKEW_MS:
            self._samples.append(behind)
            self._skew = min(self._samples)
        self._busy_until = now
        self._late = late = behind - self._skew
        # Doubled as often as it fits: keys share a flush time where they share an interval.
        wanted, base = min(late // SHARE, LONGEST_INTERVAL_MS), self._base
        self._interval = base << (wanted // base).bit_length() - 1 if wanted >= base else base
        return late

    def idle_from(self, now: int) -> None:
        """Records that the worker was busy until now: an element that arrived before was queued."""
        self._busy_until = now

    @property
    def immediately(self) -> bool:
        """Whether the rows that the last element changed are flushed immediately."""
        return self._eager and self._late < EAGER_MS

    def rest(self) -> None:
        """Resets the lateness until the next late element, so that the last elements before a pause do not wait."""
        self._interval = self._base

    def after(self, now: int, changed: Collection[str] = ()) -> int:
        """The next flush time of a key of which the parts `changed` have changed."""
        # A backlog is worked off fastest with few and large writes: nobody waits for milliseconds then.
        interval = self._interval_of(changed)
        step = max(1, self._base // self._spread if self._interval == self._base else interval)
        return (now + interval) // step * step

    def too_late(self, flush_at: int, now: int, changed: Collection[str] = ()) -> bool:
        """Whether the next flush time is earlier than `flush_at`, which is 0 where none is set."""
        return not flush_at or flush_at > now + 2 * self._interval_of(changed)

    def _interval_of(self, changed: Collection[str]) -> int:
        on_time = self._interval == self._base
        soon = on_time and not self._soon.isdisjoint(changed)
        return min(self._soon_ms, self._interval) if soon else self._interval
