"""Windows of tiles against a count over the raw list."""

from __future__ import annotations

import pytest
from hypothesis import given

from operators.contract import Signal
from operators.time import DAY, HOUR, MINUTE, SECOND
from operators.windows import MOST_PENDING, Counts, Ratio, tile_of
from schemas.events import EVENT_TYPES
from tests.operators import oracles
from tests.operators.signals import T0, Anywhere, changes, later, latest, logs, run

TYPES = ("view", "click", "impression")
CTR = Ratio("ctr", top="click", bottom="impression", prior=(1, 20))
COUNTS = Counts("events", TYPES, (5 * MINUTE, HOUR, DAY, 7 * DAY), (CTR,))
SEEN = (*TYPES, "purchase")
"""one type that is not counted"""


@given(logs(SEEN), later)
def test_values_equal_a_count_over_the_list(signals: list[Signal], after: int) -> None:
    at = latest(signals) + after
    assert list(COUNTS.values(run(COUNTS, signals), at)) == oracles.counts(COUNTS, signals, at)


@given(logs(SEEN), later)
def test_due_is_when_the_first_event_leaves_a_window(signals: list[Signal], after: int) -> None:
    at = latest(signals) + after
    assert COUNTS.due(run(COUNTS, signals), at) == oracles.counts_due(COUNTS, signals, at)


@given(logs(SEEN, most=12))
def test_values_change_when_due_and_at_no_other_time(signals: list[Signal]) -> None:
    state = run(COUNTS, signals)
    changes(COUNTS, state, latest(signals))


@given(logs(SEEN))
def test_the_order_of_arrival_does_not_matter(signals: list[Signal]) -> None:
    at = latest(signals)
    expected = COUNTS.values(run(COUNTS, signals), at)
    assert COUNTS.values(run(COUNTS, signals[::-1]), at) == expected
    assert COUNTS.values(run(COUNTS, sorted(signals, key=lambda s: (s.timestamp % 7, s.offset))), at) == expected


@given(logs(EVENT_TYPES))
def test_state_holds_no_more_tiles_than_its_windows(signals: list[Signal]) -> None:
    state = run(COUNTS, signals)
    COUNTS.split(state)  # windows take their events when they are read
    assert not state.pending
    for window, tiles in zip(COUNTS.windows, state.windows, strict=True):
        assert len(tiles.tiles) <= window // tile_of(window)


@given(logs(SEEN))
def test_what_is_read_between_events_changes_no_byte_of_the_state(signals: list[Signal]) -> None:
    """Windows take events when they are read, so that a flush after each event encodes what one after all does."""
    state = COUNTS.new()
    for signal in signals:
        COUNTS.update(state, signal, Anywhere())
        COUNTS.split(state)
    once = run(COUNTS, signals, save=len(signals))
    assert COUNTS.split(state) == COUNTS.split(once)


def test_a_log_that_is_never_read_leaves_few_events_pending() -> None:
    state = run(COUNTS, [Signal("click", T0 + n) for n in range(3 * MOST_PENDING)], save=3 * MOST_PENDING)
    assert len(state.pending) < MOST_PENDING
    assert COUNTS.values(state, T0 + 3 * MOST_PENDING)[0][COUNTS.types.index("click")] == 3 * MOST_PENDING


def test_an_event_is_counted_for_the_window_less_its_place_in_the_tile() -> None:
    """5 minutes slide in steps of 15 s: an event counts for 5 minutes from the start of its tile."""
    declared = Counts("events", ("click",), (5 * MINUTE,))
    state = run(declared, [Signal("click", T0 + 14 * SECOND)])
    assert declared.values(state, T0 + 5 * MINUTE - 1) == ([1],)
    assert declared.values(state, T0 + 5 * MINUTE) == ([0],)
    assert declared.due(state, T0 + 14 * SECOND) == T0 + 5 * MINUTE
    assert declared.due(state, T0 + 5 * MINUTE) is None


@pytest.mark.parametrize("window", [5 * MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY])
def test_a_window_is_a_whole_number_of_tiles(window: int) -> None:
    assert window % tile_of(window) == 0


@pytest.mark.parametrize("window", COUNTS.windows)
def test_the_oldest_tile_counts_until_a_whole_window_of_newer_ones(window: int) -> None:
    declared = Counts("events", ("click",), (window,))
    last = T0 + window - tile_of(window)
    assert declared.values(run(declared, [Signal("click", T0), Signal("click", last)]), last) == ([2],)
    late = [Signal("click", last), Signal("click", T0), Signal("click", T0 - 1)]
    assert declared.values(run(declared, late), last) == ([2],)


def test_fields_follow_the_declaration() -> None:
    names = [f.name for f in COUNTS.fields]
    assert names == ["events_5m", "ctr_5m", "events_1h", "ctr_1h", "events_24h", "ctr_24h", "events_7d", "ctr_7d"]
    assert tuple(f.default for f in COUNTS.fields) == COUNTS.values(COUNTS.new(), T0)


def test_a_rate_is_smoothed_towards_its_prior() -> None:
    declared = Counts("events", TYPES, (HOUR,), (CTR,))
    state = declared.new()
    assert declared.values(state, T0)[1] == 1 / 20
    for kind in ("impression", "impression", "click"):
        declared.update(state, Signal(kind, T0), Anywhere())
    assert declared.values(state, T0)[1] == 2 / 22
