"""A bounded sample of a log's impressions: the latest ones, and of those served close together only so many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from schemas.events import Impression


class LatestImpressions:
    """Keeps the latest `most` impressions, of which at most `overlap` lie within any `within` ms. Memory is bounded by
    `most`, whatever the length of the log."""

    def __init__(self, most: int, within: int, overlap: int) -> None:
        self._most, self._within, self._overlap = most, within, overlap
        self._kept: dict[str, Impression] = {}
        self.offered = 0

    def add(self, shown: Impression) -> None:
        """Offers an impression; one of a request that is kept already takes its place."""
        self.offered += shown.request_id not in self._kept
        self._kept[shown.request_id] = shown
        if len(self._kept) > 4 * self._most:
            self._kept = {each.request_id: each for each in self.impressions()}

    def forget(self, user_id: str) -> int:
        """Leaves out a person's impressions so far; returns how many that were."""
        gone = [shown.request_id for shown in self._kept.values() if shown.user_id == user_id]
        for request_id in gone:
            del self._kept[request_id]
        self.offered -= len(gone)
        return len(gone)

    def impressions(self) -> list[Impression]:
        """The sample, in the order of the times of the feeds."""
        return spread(self._kept.values(), self._within, self._overlap)[-self._most :]


def spread(impressions: Iterable[Impression], within: int, overlap: int) -> list[Impression]:
    """In the order of their times, each impression with fewer than `overlap` taken before it within `within` ms."""
    found: list[Impression] = []
    times: list[int] = []
    for shown in sorted(impressions, key=lambda shown: (shown.timestamp, shown.request_id)):
        if len(times) - bisect_right(times, shown.timestamp - within) < overlap:
            found.append(shown)
            times.append(shown.timestamp)
    return found
