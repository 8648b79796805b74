"""Samples of a log's impressions."""

from __future__ import annotations

import random
from itertools import pairwise

from schemas.events import Impression
from training.sample import LatestImpressions, spread

T = 1_767_225_600_000


def shown(n: int, at: int) -> Impression:
    return Impression(f"r{n}", "u1", T + at, ["i1"])


def test_of_those_close_together_only_so_many_are_taken() -> None:
    found = spread([shown(n, 100 * n) for n in range(100)], within=1_000, overlap=3)
    times = [each.timestamp - T for each in found]
    assert times[:5] == [0, 100, 200, 1_000, 1_100]
    assert all(sum(at - 1_000 < other <= at for other in times) <= 3 for at in times)


def test_the_latest_are_kept_in_bounded_memory() -> None:
    impressions = [shown(n, 500 * n) for n in range(10_000)]
    sample = LatestImpressions(most=50, within=1_000, overlap=1)
    order = sorted(impressions, key=lambda each: each.timestamp + random.Random(each.request_id).randrange(5_000))
    for each in order:
        sample.add(each)
        assert len(sample._kept) <= 4 * 50
    found = sample.impressions()
    assert len(found) == 50
    assert found[-1].timestamp > T + 500 * 9_990
    assert all(later.timestamp - earlier.timestamp >= 1_000 for earlier, later in pairwise(found))
    assert sample.offered == 10_000


def test_a_repeated_request_counts_once() -> None:
    sample = LatestImpressions(most=5, within=10, overlap=5)
    for _ in range(3):
        sample.add(shown(1, 0))
    assert (len(sample.impressions()), sample.offered) == (1, 1)


def test_a_person_is_left_out_and_takes_no_place() -> None:
    sample = LatestImpressions(most=2, within=1_000, overlap=9)
    for n in range(4):
        sample.add(shown(n, n) if n % 2 else Impression(f"r{n}", "u2", T + n, ["i1"]))
    assert sample.forget("u1") == 2
    assert sample.forget("u1") == 0
    sample.add(shown(5, 5))
    assert [each.request_id for each in sample.impressions()] == ["r2", "r5"]
    assert sample.offered == 3
