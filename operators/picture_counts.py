"""How often each picture of an item was shown to each segment of people, and the item then taken.

    impression, click ─► Attribution, of the person ─► PICTURE_SHOWN, PICTURE_TAKEN for the item ─► PictureCounts

The two signals have the time of the impression, as those of exploration slots have (operators/bandit_counts.py), and
`partners` that are the segment and the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from operators.contract import CellAggregation, Field, Signal, World
from operators.decay import POPULARITY_ORIGIN, REBASE_AFTER

PICTURE_SHOWN, PICTURE_TAKEN = "picture_shown", "picture_taken"
"""event types of the signals"""
OF_PICTURES = frozenset({PICTURE_SHOWN, PICTURE_TAKEN})
MOST_PICTURES = 8
"""pictures of an item that are counted: those that were shown last"""
MOST_SEGMENTS = 8
"""segments of an item with counts of their own"""
UNKNOWN = -1e9
"""log2 of a count of nothing"""

Pair = tuple[float, float]
"""times shown, and times taken of these"""


class OfPicture(Struct, array_like=True, gc=False):
    """Decayed counts of one picture over all segments, and of these by segment."""

    shown: float
    taken: float
    segments: dict[str, Pair]


class PicturesState(Struct, array_like=True, gc=False):
    """Decayed counts relative to `origin`, by picture; the one that was shown last is the last."""

    origin: int
    pictures: dict[str, OfPicture]


@dataclass(frozen=True)
class PictureCounts(CellAggregation[PicturesState]):
    """How often each picture of an item was shown and then taken: over all segments, and in each of a few.

    A segment has counts for all pictures of the item or for none, so that its pictures can be compared. Where there are
    more than twice MOST_SEGMENTS, those shown least have no counts of their own any more, and stay in those over all.
    Values are in proportion to `pictures_total`, since everything of an item decays alike.
    """

    half_life: int
    state: type[PicturesState] = PicturesState

    @property
    def fields(self) -> tuple[Field, ...]:
        return (
            Field("pictures_total", "float64", UNKNOWN, "log2 of what the counts are in units of, as of 2020-01-01"),
            Field("pictures", "string[]", [], "pictures that were shown"),
            Field("picture_segments", "string[]", [], "segments that have counts of their own"),
            Field("pictures_shown", "float32[]", [], "by picture: how often over all segments, then in each of these"),
            Field("pictures_taken", "float32[]", [], "the same of how often it was then taken"),
        )

    def new(self) -> PicturesState:
        return PicturesState(0, {})

    def update(self, state: PicturesState, signal: Signal, world: World) -> None:
        if signal.event_type not in OF_PICTURES:
            return
        segment, image = signal.partners
        if not state.pictures:
            state.origin = signal.timestamp
        age = (signal.timestamp - state.origin) / self.half_life
        if age > REBASE_AFTER:
            _scale(state, 2.0**-age)
            state.origin, age = signal.timestamp, 0.0
        gain = 2.0**age
        if signal.event_type == PICTURE_TAKEN:
            found = state.pictures.get(image)
            if found is None:  # dropped since it was shown
                return
            found.taken += gain
            if segment in found.segments:
                shown, taken = found.segments[segment]
                found.segments[segment] = shown, taken + gain
            return
        found = state.pictures.pop(image, None) or OfPicture(0.0, 0.0, {})
        state.pictures[image] = found
        if len(state.pictures) > MOST_PICTURES:
            del state.pictures[next(iter(state.pictures))]
        found.shown += gain
        is_new = segment not in found.segments
        shown, taken = found.segments.get(segment, (0.0, 0.0))
        found.segments[segment] = shown + gain, taken
        if is_new:
            _limit(state)

    def values(self, state: PicturesState, at: int) -> tuple[Any, ...]:
        since = (state.origin - POPULARITY_ORIGIN) / self.half_life
        names = sorted(state.pictures, key=lambda image: (-state.pictures[image].shown, image))
        segments = _segments(state)[:MOST_SEGMENTS]
        counts: list[Pair] = []
        for name in names:
            found = state.pictures[name]
            counts += (found.shown, found.taken), *(found.segments.get(each, (0.0, 0.0)) for each in segments)
        total = state.pictures[names[0]].shown if names else 0.0
        unit = total or 1.0
        return (
            math.log2(total) + since if total else UNKNOWN,
            names,
            segments,
            [shown / unit for shown, _ in counts],
            [taken / unit for _, taken in counts],
        )

    def due(self, state: PicturesState, at: int) -> int | None:
        return None


def _segments(state: PicturesState) -> list[str]:
    """The segments with counts of their own, those shown most first."""
    totals: dict[str, float] = {}
    for found in state.pictures.values():
        for segment, (shown, _) in found.segments.items():
            totals[segment] = totals.get(segment, 0.0) + shown
    return sorted(totals, key=lambda segment: (-totals[segment], segment))


def _limit(state: PicturesState) -> None:
    """Drops the counts of the segments shown least, where there are more than twice MOST_SEGMENTS."""
    segments = _segments(state)
    if len(segments) > 2 * MOST_SEGMENTS:
        for found in state.pictures.values():
            for segment in segments[MOST_SEGMENTS:]:
                found.segments.pop(segment, None)


def _scale(state: PicturesState, factor: float) -> None:
    for found in state.pictures.values():
        found.shown, found.taken = found.shown * factor, found.taken * factor
        found.segments = {name: (shown * factor, taken * factor) for name, (shown, taken) in found.segments.items()}
