"""The rate of a run, and the ratios to the bare job and between numbers of features."""

from __future__ import annotations

import pytest

from bench import throughput
from bench.jobs import Usage
from bench.machine import Rounds
from bench.throughput import Run, Sample, profile, rated


def samples(per_s: float, n: int = 21) -> list[Sample]:
    return [
        Sample(
            float(second),
            {"accepted": int(per_s * second), "rows": int(per_s * second / 2), "writes": second},
            Usage({"user operator": 0.5 * second, "other": 0.1 * second}),
        )
        for second in range(n)
    ]


def run(per_s: float) -> Run:
    found = samples(per_s)
    return rated(found, found[-1], int(per_s * 20))


def test_the_start_is_left_out() -> None:
    found = run(1000.0)
    assert found.first.counts["accepted"] == 3000
    assert found.per_s() == 1000.0
    assert found.per_s("rows") == 500.0
    assert found.series[0] == (4.0, 1000.0)


def test_processor_time_by_thread() -> None:
    assert profile(run(1000.0)) == {"us_an_event: user operator": 500.0, "us_an_event: other": 100.0}


def test_a_thread_that_is_new_counts_from_zero() -> None:
    assert Usage({"a": 2.0, "b": 1.0}).since(Usage({"a": 0.5})).threads == {"a": 1.5, "b": 1.0}


def test_ratios() -> None:
    found = throughput._report({0: run(4000.0), 40: run(2000.0)}, [run(4500.0), run(5500.0)], 80_000, Rounds(print))
    document = found.document()
    assert document["events_per_s"] == 4000.0
    assert document["bare_events_per_s"] == 5000.0
    assert document["bare_ratio"] == 0.8
    assert document["events_per_s_40_features"] == 2000.0
    assert document["features_ratio"] == 0.5
    assert document["bare_events_per_s_each"] == [4500.0, 5500.0]
    assert {target.name for target in found.targets} == {"events_per_s", "bare_ratio", "features_ratio"}


@pytest.mark.parametrize(("features", "bound"), [(0, 5000), (40, 2500)])
def test_the_target_depends_on_the_features(features: int, bound: float) -> None:
    found = throughput._report({features: run(4000.0)}, [run(5000.0)], 80_000, Rounds(print))
    assert found.targets[0].bound == bound
    assert "features_ratio" not in found.figures
