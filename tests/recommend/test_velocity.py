"""Velocity of items: by the stream's own operator, over steady rates and bursts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from feature_repo import builders
from feature_repo.columns import ItemColumns
from operators.contract import Record, Signal
from operators.time import DAY, HOUR, MINUTE
from recommend.shrinkage import PRIOR, at_least, shrunk
from recommend.velocity import of_items, rising
from tests.operators.records import World

T0 = 1_767_225_600_000
EVENTS = {"steady": [T0 - k * 10 * MINUTE for k in range(6 * 24 * 40)]}  # 6 an hour over forty days


def columns(events: dict[str, list[int]], kind: str = "click", region: str = "") -> ItemColumns:
    """Columns of what the operator makes of events at these times."""
    operator, found = builders.item_operator(World()), ItemColumns()
    for item_id, times in events.items():
        for part in ("", region) if region else ("",):
            state = operator.new(part)
            for at in times:
                operator.on_event(part, state, Record(Signal(kind, at, item_id, region)))
            found.put_features(operator.row(item_id, part, state, T0))
    return found


def times(found: ItemColumns, at: int = T0, region: str = "") -> dict[str, float]:
    rows = np.arange(found.n)
    return dict(zip(found.ids, of_items(found, rows, at, region).times.tolist(), strict=True))


@pytest.mark.parametrize("region", ["", "DE"])
def test_a_steady_item_has_about_its_baseline(region: str) -> None:
    found = columns(EVENTS, "purchase", region)
    assert times(found, region=region)["steady"] == pytest.approx(1.0, abs=0.1)
    assert rising(found, np.arange(1), T0, region).tolist() == []


def test_a_burst_raises_it_and_it_falls_back() -> None:
    burst = [T0 - k * 1000 for k in range(300)]
    found = columns({"burst": [*EVENTS["steady"], *burst]})
    assert times(found)["burst"] > 4
    assert rising(found, np.arange(1), T0).tolist() == [0]
    # With nothing after it, it falls below its baseline, which has the burst in it by then.
    after = [times(found, T0 + hours * HOUR)["burst"] for hours in (0, 3, 6, 12, 24)]
    assert after == sorted(after, reverse=True)
    assert after[-1] < 1
    steady_again = [*EVENTS["steady"], *burst, *(T0 + k * 10 * MINUTE for k in range(6 * 48))]
    assert times(columns({"burst": steady_again}), T0 + 2 * DAY)["burst"] == pytest.approx(1.0, abs=0.4)


@pytest.mark.parametrize("kind", ["view", "click", "purchase"])
def test_two_events_are_no_trend(kind: str) -> None:
    found = columns({"new": [T0, T0 - MINUTE]}, kind)
    assert times(found)["new"] <= 1.4
    assert rising(found, np.arange(1), T0).tolist() == []


def test_the_fastest_come_first_and_no_others() -> None:
    found = columns({
        "steady": EVENTS["steady"], "some": [T0 - k * MINUTE for k in range(60)],
        "most": [T0 - k * MINUTE for k in range(240)], "past": [T0 - 3 * DAY - k for k in range(300)],
    })  # fmt: skip
    assert [found.ids[row] for row in rising(found, np.arange(4), T0).tolist()] == ["most", "some"]


@given(st.lists(st.integers(T0 - 20 * DAY, T0), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(log: list[int], rng: random.Random) -> None:
    shuffled = list(log)
    rng.shuffle(shuffled)
    assert times(columns({"i": shuffled}))["i"] == pytest.approx(times(columns({"i": log}))["i"], rel=1e-9)


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_shrunk_ratios_are_those_of_the_gamma_distribution(n: float, expected: float) -> None:
    of = gamma(PRIOR + n, scale=1 / (PRIOR + expected))
    assert shrunk(np.array(n), np.array(expected)) == pytest.approx(of.mean())
    assert at_least(np.array(n), np.array(expected)) == pytest.approx(of.ppf(0.05), rel=0.01)


def test_as_of_a_time_before_its_events_it_is_a_number() -> None:
    assert np.isfinite(of_items(columns(EVENTS), np.arange(1), T0 - 90 * DAY).at_least).all()
