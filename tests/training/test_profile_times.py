"""From when the profiles of a person hold, by what came before them."""

from __future__ import annotations

import pytest

from operators.contract import NEVER
from training.profile_times import IMPORTED, ProfileTimes

T = 1_767_225_600_000


@pytest.mark.parametrize("arrived", [0, T, NEVER])
def test_the_first_profile_holds_from_the_start(arrived: int) -> None:
    assert ProfileTimes().profile(arrived) == 0


@pytest.mark.parametrize(("arrived", "holds_from"), [(T + 4, 0), (T + 5, 0), (T + 6, T + 9), (T + 20, T + 20)])
def test_a_first_profile_that_came_after_live_events_holds_from_then(arrived: int, holds_from: int) -> None:
    times = ProfileTimes()
    times.event(T, T + 5)
    times.event(T + 9, T + 5)
    assert times.profile(arrived) == holds_from


def test_of_an_imported_history_the_order_says_nothing() -> None:
    times = ProfileTimes()
    times.event(T - IMPORTED, T)
    assert times.profile(T + 1) == 0
    times.event(T - IMPORTED + 1, T)
    assert times.profile(T + 1) == T + 1, "it is not the first one"


def test_a_later_profile_comes_after_the_events_since_the_first() -> None:
    times = ProfileTimes()
    times.event(T + 100, T)
    assert times.profile(T) == 0
    assert times.profile(T + 1) == T + 1, "what came before the first profile is behind it"
    times.event(T + 50, T + 60)
    times.event(T + 40, T + 61)
    assert times.profile(T + 2) == T + 50
    assert times.profile(NEVER) == T + 50
