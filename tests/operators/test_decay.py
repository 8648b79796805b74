"""Decayed shares and popularity against sums over the raw list."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contract import Signal
from operators.decay import POPULARITY_ORIGIN, AffinityShares, Popularity, weight_of
from operators.time import DAY, HOUR, MINUTE
from tests.operators import oracles
from tests.operators.signals import T0, Anywhere, latest, logs, run, saved

WEIGHTS = {"view": 0.5, "click": 1.0, "purchase": 3.0, "rating": 3.0, "dislike": -3.0}
HALF_LIVES = [MINUTE, HOUR, 14 * DAY]
"""with the shortest, an hour is 60 half-lives and a day 1440: sums move to a new origin at nearly every signal"""


@pytest.mark.parametrize("half_life", HALF_LIVES)
@pytest.mark.parametrize("of", ["categories", "brand"])
@given(signals=logs())
def test_affinity_is_the_share_of_decayed_attention(half_life: int, of: str, signals: list[Signal]) -> None:
    declared = AffinityShares("taste", of, half_life, WEIGHTS)
    names, scores = declared.values(run(declared, signals), latest(signals))
    expected = oracles.affinity(declared, signals)
    # What cancels out to nothing, or has decayed to nothing, may be there with a score of nothing.
    found = dict(zip(names, scores, strict=True))
    for name in found.keys() | expected.keys():
        assert found.get(name, 0) == pytest.approx(expected.get(name, 0), abs=1e-6)
    assert all(a >= b for a, b in pairwise(scores))
    assert len(set(names)) == len(names)


@given(logs())
def test_affinity_does_not_depend_on_the_order_of_arrival(signals: list[Signal]) -> None:
    declared = AffinityShares("taste", "categories", HOUR, WEIGHTS)
    forth, back = ({}, {})  # type: dict[str, float], dict[str, float]
    for found, order in ((forth, signals), (back, signals[::-1])):
        found.update(zip(*declared.values(run(declared, order), latest(signals)), strict=True))
    for name in forth.keys() | back.keys():
        assert forth.get(name, 0) == pytest.approx(back.get(name, 0), abs=1e-6)


@given(logs(), st.integers(0, 400 * DAY))
def test_affinity_holds_as_time_passes(signals: list[Signal], after: int) -> None:
    declared = AffinityShares("taste", "categories", HOUR, WEIGHTS)
    state, at = run(declared, signals), latest(signals)
    assert declared.due(state, at) is None
    assert declared.values(state, at + after) == declared.values(state, at)


@pytest.mark.parametrize("half_life", HALF_LIVES)
@given(signals=logs())
def test_affinity_read_after_each_event_is_that_read_once(half_life: int, signals: list[Signal]) -> None:
    """The order that is kept from one reading to the next, through changes of origin and dropped names."""
    declared = AffinityShares("taste", "categories", half_life, WEIGHTS, top=3, keep=4)
    state = declared.new()
    for signal in signals:
        declared.update(state, signal, Anywhere())
        found = declared.values(state, signal.timestamp)
        assert state.ranked in (None, sorted((-value, name) for name, value in state.sums.items()))
        assert found == declared.values(saved(declared, state), signal.timestamp)


def test_affinity_forgets_by_half() -> None:
    declared = AffinityShares("taste", "categories", DAY, {"click": 1.0})
    signals = [Signal("click", T0, categories=["old"]), Signal("click", T0 + DAY, categories=["new"])]
    assert declared.values(run(declared, signals), T0 + DAY) == (["new", "old"], pytest.approx([2 / 3, 1 / 3]))


def test_a_dislike_counts_against() -> None:
    declared = AffinityShares("taste", "categories", DAY, WEIGHTS)
    signals = [Signal("purchase", T0, categories=["good"]), Signal("dislike", T0, categories=["bad"])]
    assert declared.values(run(declared, signals), T0) == (["good", "bad"], [0.5, -0.5])


@pytest.mark.parametrize("each", [1, 3, 64])
def test_affinity_keeps_a_bounded_number_of_names_the_most_loved(each: int) -> None:
    """However many categories one item has."""
    declared = AffinityShares("taste", "categories", DAY, {"click": 1.0}, top=10, keep=20)
    loved = [Signal("click", T0, categories=["loved"])] * 100
    signals = loved + [Signal("click", T0 + n, categories=[f"c{n}-{k}" for k in range(each)]) for n in range(40)]
    state = run(declared, signals)
    assert 20 <= len(state.sums) <= 25
    assert "loved" in state.sums
    names, scores = declared.values(state, T0 + 40)
    assert (len(names), len(scores), names[0]) == (10, 10, "loved")


@pytest.mark.parametrize("half_life", HALF_LIVES)
@given(signals=logs())
def test_popularity_is_the_logarithm_of_a_decayed_count(half_life: int, signals: list[Signal]) -> None:
    declared = Popularity("popularity", half_life, WEIGHTS)
    state, at = run(declared, signals), latest(signals)
    (found,) = declared.values(state, at)
    assert found == pytest.approx(oracles.popularity(declared, signals), rel=1e-12, abs=1e-6)
    assert declared.values(state, at + 100 * DAY) == (found,)
    assert declared.due(state, at) is None


@given(logs())
def test_popularity_does_not_depend_on_the_order_of_arrival(signals: list[Signal]) -> None:
    declared = Popularity("popularity", MINUTE, WEIGHTS)
    forth, back = (declared.values(run(declared, order), T0)[0] for order in (signals, signals[::-1]))
    assert forth == pytest.approx(back, rel=1e-12, abs=1e-6)


def test_popularity_of_any_age_is_finite_and_compares() -> None:
    """Half a second's half-life over thirty years: no number of the plain sum would be left."""
    declared = Popularity("popularity", 500, {"click": 1.0})
    old = declared.values(run(declared, [Signal("click", POPULARITY_ORIGIN - 10_000 * DAY)] * 3), T0)[0]
    new = declared.values(run(declared, [Signal("click", T0)]), T0)[0]
    assert math.isfinite(old)
    assert old < new


def test_popularity_gives_the_decayed_count_back() -> None:
    """As its documentation says: 2^(popularity - (t - origin) / half_life)."""
    declared = Popularity("popularity", DAY, {"click": 1.0})
    state = run(declared, [Signal("click", T0), Signal("click", T0 + DAY), Signal("click", T0 - DAY)])
    (found,) = declared.values(state, T0 + DAY)
    assert 2 ** (found - (T0 + DAY - POPULARITY_ORIGIN) / DAY) == pytest.approx(1 + 1 / 2 + 1 / 4)
    assert declared.count(np.array([found, -1e9]), T0 + 2 * DAY) == pytest.approx([7 / 8, 0])


@pytest.mark.parametrize(
    ("kind", "stars", "expected"),
    [("rating", 0.0, -3), ("rating", 2.5, 0), ("rating", 5.0, 3), ("rating", 9.0, 3), ("rating", None, 3),
     ("rating", 1.0, -1.8), ("click", 1.0, 1), ("dislike", None, -3), ("share", None, 0)],
)  # fmt: skip
def test_weights(kind: str, stars: float | None, expected: float) -> None:
    assert weight_of(WEIGHTS, Signal(kind, T0, rating=stars)) == pytest.approx(expected)
