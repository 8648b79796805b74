"""What servers keep of bandits: counts of pictures by segment, and the latest linear models."""

from __future__ import annotations

import math
import sys

import pytest

from feature_repo import views
from feature_repo.arms import MOST_MODELS, ArmColumns
from operators.decay import POPULARITY_ORIGIN
from operators.picture_counts import UNKNOWN

AT = 1_767_225_600_000
SINCE = (AT - POPULARITY_ORIGIN) / views.PICTURES.half_life


def model(as_of: int) -> tuple[int, float, list[float], list[float]]:
    return as_of, 1.0, [2.0, 0.0, 0.0, 2.0], [1.0, 0.0]


def test_beyond_the_limit_the_models_that_are_out_of_use_are_dropped_and_counted() -> None:
    arms = ArmColumns()
    arms.put_model("old/c/2", model(AT - 1))
    for n in range(MOST_MODELS):
        arms.put_model(f"posted{n}/c/2", model(AT + n))
    arms.put_model("home/basic1/2", model(AT + 1000))
    assert arms.model("home/basic1/2", AT + 1000) is not None, "policies in use come last, and are kept"
    assert arms.model("old/c/2", AT) is None
    assert arms.dropped == 2
    assert arms.model(f"posted{MOST_MODELS - 1}/c/2", AT) is not None
    arms.put_model("older/c/2", model(AT - 5))
    assert arms.model("older/c/2", AT) is None
    assert arms.dropped == 3


def test_pictures_are_counted_in_a_segment_and_in_all() -> None:
    arms = ArmColumns()
    of_shown, of_taken = [1.0, 0.5, 0.25, 0.75, 0.5, 0.25], [0.5, 0.25, 0.0, 0.0, 0.0, 0.0]
    row = (UNKNOWN, UNKNOWN, math.log2(100) + SINCE, ["red", "blue"], ["war", "drama"], of_shown, of_taken)
    arms.put_item(7, row)
    choices = [(3, ["red"]), (7, ["blue", "new", "red"])]
    own, everywhere = arms.pictures(choices, "war", AT)
    assert own.shown == pytest.approx([0, 50, 0, 50])
    assert own.taken == pytest.approx([0, 0, 0, 25])
    assert everywhere.shown == pytest.approx([0, 75, 0, 100])
    assert everywhere.taken == pytest.approx([0, 0, 0, 50])
    assert arms.pictures(choices, "unheard of", AT)[0].shown.tolist() == [0] * 4
    later = arms.pictures(choices, "drama", AT + views.PICTURES.half_life)[0]
    assert later.shown == pytest.approx([0, 12.5, 0, 12.5])
    arms.put_item(7, (UNKNOWN, UNKNOWN, UNKNOWN, [], [], [], []))
    assert not arms.pictures(choices, "war", AT)[1].shown.any()


def test_the_counts_of_an_item_take_little_memory() -> None:
    """The names of segments are those of all items; the counts are one array."""
    arms, images = ArmColumns(), [f"{k}.jpg" for k in range(8)]
    for row in range(2):
        segments = ["".join(("genre-", str(k))) for k in range(8)]
        arms.put_item(row, (UNKNOWN, UNKNOWN, SINCE, images, segments, [1.0] * 72, [0.5] * 72))
    first, second = (arms._pictures[row] for row in range(2))
    assert all(one is other for one, other in zip(first.segments, second.segments, strict=True))
    assert sum(map(sys.getsizeof, (first.places, first.segments, first.counts))) < 1500
