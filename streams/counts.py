"""Counters of an operator as Flink's metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PUBLISH_MS = 200


class JobCounters:
    """Counters that are published to Flink every PUBLISH_MS: one JVM call an event would cost more than the event."""

    def __init__(self, group: Any) -> None:
        """`group` is Flink's metric group for them."""
        self._group = group
        self._counters: dict[str, Any] = {}
        self._tally: dict[str, int] = {}
        self._followed: dict[str, int] = {}
        self._totals: dict[str, Callable[[], int]] = {}
        self._published_ms = self._awaited_ms = 0

    def follow(self, name: str, total: Callable[[], int]) -> None:
        """Publishes a counter that is kept elsewhere; `total` gives its value."""
        self._totals[name] = total
        self._tally[name] = 0

    def add(self, name: str, n: int = 1) -> None:
        self._tally[name] = self._tally.get(name, 0) + n

    def awaited(self, now: int) -> bool:
        """Whether the caller is to set a timer for PUBLISH_MS from now, since none is set."""
        if now < self._awaited_ms:
            return False
        self._awaited_ms = now + PUBLISH_MS
        return True

    def publish(self, now: int, at_once: bool = False) -> None:
        """Publishes if it is time, by `now` in epoch ms."""
        if not at_once and now < self._published_ms + PUBLISH_MS:
            return
        self._published_ms = now
        for name, total in self._totals.items():
            before, self._followed[name] = self._followed.get(name, 0), total()
            self._tally[name] = self._followed[name] - before
        for name, n in self._tally.items():
            if name not in self._counters:
                self._counters[name] = self._group.counter(name)
            self._counters[name].inc(n)
        self._tally.clear()
