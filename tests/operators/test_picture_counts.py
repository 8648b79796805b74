"""Counts of pictures by segment: what is kept, what is dropped, and that totals are never lost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contract import Signal
from operators.decay import POPULARITY_ORIGIN
from operators.picture_counts import (
    MOST_PICTURES,
    MOST_SEGMENTS,
    PICTURE_SHOWN,
    PICTURE_TAKEN,
    UNKNOWN,
    PictureCounts,
    PicturesState,
)
from operators.time import DAY
from tests.operators.records import World
from tests.operators.signals import T0

HALF_LIFE = 10 * DAY
DECLARED = PictureCounts(half_life=HALF_LIFE)


def feed(state: PicturesState, kind: str, segment: str, image: str, times: int = 1, at: int = T0) -> None:
    for _ in range(times):
        DECLARED.update(state, Signal(kind, at, "a", partners=(segment, image)), World())


def counts(state: PicturesState, at: int = T0) -> dict[str, dict[str, tuple[float, float]]]:
    """Picture → segment → times shown and taken as of `at`; those over all segments are of "*"."""
    total, names, segments, shown, taken = DECLARED.values(state, 0)
    unit = 2.0 ** (total - (at - POPULARITY_ORIGIN) / HALF_LIFE)
    of = np.reshape([shown, taken], (2, len(names), 1 + len(segments))) * unit
    return {
        name: {
            segment: (round(of[0, n, m], 4), round(of[1, n, m], 4)) for m, segment in enumerate(("*", *segments))
        }
        for n, name in enumerate(names)
    }  # fmt: skip


def test_pictures_are_counted_overall_and_by_segment() -> None:
    state = DECLARED.new()
    feed(state, PICTURE_SHOWN, "war", "red", 3)
    feed(state, PICTURE_SHOWN, "", "red", 2)
    feed(state, PICTURE_SHOWN, "war", "blue")
    feed(state, PICTURE_TAKEN, "war", "red")
    assert counts(state) == {
        "red": {"*": (5, 1), "war": (3, 1), "": (2, 0)}, "blue": {"*": (1, 0), "war": (1, 0), "": (0, 0)},
    }  # fmt: skip
    assert DECLARED.values(DECLARED.new(), 0) == (UNKNOWN, [], [], [], [])


def test_of_many_segments_those_shown_most_keep_counts_of_their_own_and_totals_are_whole() -> None:
    state = DECLARED.new()
    for _ in range(20):
        for n in range(40):
            for image in ("red", "blue"):
                feed(state, PICTURE_SHOWN, f"s{n}", image, 10 if n < 5 else 1)
                feed(state, PICTURE_TAKEN, f"s{n}", image)
    found = counts(state)
    assert {image: of["*"] for image, of in found.items()} == {"red": (1700, 800), "blue": (1700, 800)}
    for of in found.values():
        assert len(of) <= 1 + MOST_SEGMENTS
        assert {segment: pair for segment, pair in of.items() if segment in {f"s{n}" for n in range(5)}} == {
            f"s{n}": (200, 20) for n in range(5)
        }
    kept = [set(of.segments) for of in state.pictures.values()]
    assert len(kept[0] | kept[1]) <= 2 * MOST_SEGMENTS


def test_a_segment_has_counts_of_all_pictures_or_of_none() -> None:
    state = DECLARED.new()
    for n in range(2 * MOST_SEGMENTS + 1):
        for k in range(3):
            feed(state, PICTURE_SHOWN, f"s{n:02}", f"p{k}", n + 1)
    known = [set(of.segments) for of in state.pictures.values()]
    assert known[0] >= {f"s{n:02}" for n in range(MOST_SEGMENTS + 1, 2 * MOST_SEGMENTS)}
    assert not known[0] & {f"s{n:02}" for n in range(MOST_SEGMENTS)}


def test_new_pictures_take_the_place_of_those_that_are_no_longer_shown() -> None:
    state = DECLARED.new()
    for n in range(MOST_PICTURES):
        feed(state, PICTURE_SHOWN, "war", f"old{n}", 100)
    for _ in range(3):
        for n in range(MOST_PICTURES):
            feed(state, PICTURE_SHOWN, "war", f"new{n}")
            feed(state, PICTURE_TAKEN, "war", f"new{n}")
    feed(state, PICTURE_TAKEN, "war", "old0")
    assert counts(state) == {f"new{n}": {"*": (3, 3), "war": (3, 3)} for n in range(MOST_PICTURES)}


events = st.tuples(st.integers(0, 600), st.booleans(), st.sampled_from(["war", "drama"]), st.sampled_from("rgb"))


@given(st.lists(events, min_size=1, max_size=30))
def test_decayed_counts_are_plain_sums(log: list[tuple[int, bool, str, str]]) -> None:
    state = DECLARED.new()
    for image in "rgb":
        feed(state, PICTURE_SHOWN, "war", image)
    all_of: list[Any] = [(0, False, "war", image) for image in "rgb"] + log
    for day, taken, segment, image in log:
        feed(state, PICTURE_TAKEN if taken else PICTURE_SHOWN, segment, image, at=T0 + day * DAY)
    last = max(day for day, *_ in all_of)
    total, names, segments, *by_kind = DECLARED.values(state, 0)
    unit = 2.0 ** (total - (T0 + last * DAY - POPULARITY_ORIGIN) / HALF_LIFE)
    for kind, values in zip((False, True), by_kind, strict=True):
        of = np.reshape(values, (len(names), 1 + len(segments))) * unit
        for n, name in enumerate(names):
            for m, segment in enumerate((None, *segments)):
                true = math.fsum(
                    2.0 ** ((day - last) * DAY / HALF_LIFE)
                    for place, (day, taken, of_segment, image) in enumerate(all_of)
                    if taken is kind and image == name and segment in (None, of_segment)
                    # what is taken in a segment that has not been shown it is of the totals alone
                    and (segment is None or not taken or any(
                        not t and s == segment and i == image for _, t, s, i in all_of[:place]
                    ))
                )  # fmt: skip
                assert of[n, m] == pytest.approx(true, rel=1e-5, abs=1e-12)
