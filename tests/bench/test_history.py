"""Groups of people by length of history, and the figures that are made of their events."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from bench.histories import FEWEST_PEOPLE, GROWTH, PeopleGroup, groups
from bench.history import report
from bench.written import Written


@pytest.mark.parametrize("events", [10, 3600, 100_000])
def test_no_history_grows_by_more_than_the_bound(events: int) -> None:
    for group in groups((50, 500, 5000), events):
        assert len(group.users) >= FEWEST_PEOPLE
        assert events / len(group.users) <= GROWTH * group.length
        assert len(set(group.users)) == len(group.users)


def group(length: int, scale: float, bad: Counter[str] | None = None) -> PeopleGroup:
    return PeopleGroup(
        length, ["u"] * 20, random.Random(0), 1000, 0.1 * scale, 0.5 * scale, 0.2 * scale,
        Written(1000, int(10_000 * scale)), int(20_000 * scale), [2.0 * scale] * 3, bad or Counter(),
    )  # fmt: skip


def test_ratios_are_of_the_longest_history_to_the_shortest() -> None:
    found = report([group(50, 1.0), group(500, 2.0), group(5000, 4.0)], {50: 50.0}, 20_000, None)
    document = found.document()
    assert document["cost_us_50"] == 100.0
    assert document["cost_us_5000"] == 400.0
    assert document["job_us_500"] == 1000.0
    assert document["wall_us_50"] == 200.0
    assert document["cost_ratio"] == document["job_ratio"] == document["wall_ratio"] == document["feed_ratio"] == 4.0
    assert document["bytes_per_event_50"] == 10.0
    assert document["bytes_per_event"] == document["bytes_per_event_5000"] == 40.0
    assert document["redis_input_per_event_500"] == 40.0
    assert document["feed_ms_5000"] == {"p50": 8.0, "p99": 8.0, "n": 3}
    assert found.status == 0


def test_feeds_that_failed_fail_the_run_with_its_figures() -> None:
    found = report([group(50, 1.0), group(5000, 1.0, Counter({"status 500": 2}))], {}, 1, None)
    assert found.status == 1
    assert "status 500" in found.failures[0]
    assert found.document()["cost_ratio"] == 1.0
