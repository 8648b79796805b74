"""When changed rows are flushed, by how late events are, whatever the clocks say."""

from __future__ import annotations

import pytest

from streams.flushing import EAGER_MS, IDLE_MS, LARGEST_SKEW_MS, LONGEST_INTERVAL_MS, SHARE, SPREAD, Flushing

NOW = 1_767_225_600_000


@pytest.mark.parametrize("late", [-5_000, 0, 9, 500, 2_000, 2_100, 60_000, 10**9])
def test_keys_that_are_about_as_late_share_a_flush_time(late: int) -> None:
    flushing = Flushing(10)
    found = set()
    for more in range(5):
        assert flushing.read(NOW - late - more, NOW) == late + more
        found.add(flushing.after(NOW))
    assert len(found) == 1
    (flush_at,) = found
    assert 0 < flush_at - NOW <= max(10, min(late // SHARE + 2, LONGEST_INTERVAL_MS))


def test_on_time_events_of_users_are_flushed_immediately() -> None:
    users, items = Flushing(10, eager=True), Flushing(3_000, SPREAD)
    for each in (users, items):
        each.read(NOW - EAGER_MS + 1, NOW)
    assert (users.immediately, items.immediately) == (True, False)
    users.read(NOW - EAGER_MS, NOW)
    assert not users.immediately


def test_an_item_waits_for_its_interval_and_others_for_other_moments() -> None:
    items = Flushing(3_000, SPREAD)
    items.read(NOW, NOW)
    waits = {items.after(NOW + ms) - NOW - ms for ms in range(3_000)}
    assert max(waits) <= 3_000
    assert min(waits) > 3_000 - 3_000 // SPREAD
    assert len({items.after(NOW + ms) for ms in range(3_000)}) == SPREAD


def test_rows_that_are_waited_for_are_flushed_soon_unless_events_are_late() -> None:
    items, basket = Flushing(3_000, SPREAD, soon_ms=300, soon=("basket",)), {"", "basket"}
    items.read(NOW, NOW)
    at_leisure, soon = items.after(NOW, {""}), items.after(NOW, basket)
    assert 200 < soon - NOW <= 300
    assert items.too_late(at_leisure, NOW, basket)
    assert not items.too_late(soon, NOW, basket)
    assert not items.too_late(at_leisure, NOW, {""})
    items.read(NOW - 60_000, NOW)
    assert items.after(NOW, basket) == items.after(NOW)


def test_a_short_interval_is_not_lengthened_for_those_that_are_waited_for() -> None:
    items = Flushing(100, SPREAD, soon_ms=300, soon=("basket",))
    items.read(NOW, NOW)
    assert items.after(NOW, {"basket"}) == items.after(NOW)


def test_a_flush_time_of_a_backlog_gives_way_when_that_is_gone() -> None:
    users = Flushing(10)
    users.read(NOW - 60_000, NOW)
    late = users.after(NOW)
    assert not users.too_late(late, NOW)
    users.read(NOW - 1_500, NOW)
    assert users.too_late(late, NOW)
    assert users.too_late(0, NOW)
    users.rest()
    assert users.after(NOW) == NOW + 10


@pytest.mark.parametrize("skew", [-LARGEST_SKEW_MS, -900, -30, 0, 150, 900, LARGEST_SKEW_MS])
def test_clocks_that_differ_make_nothing_late(skew: int) -> None:
    """`skew` is how far the worker's clock is ahead of the broker's; the way takes 2 to 5 ms."""
    users, now = Flushing(10, eager=True), NOW
    users.read(now - skew, now)
    for n in range(200):
        now += IDLE_MS + n % 50
        assert abs(users.read(now - skew - 2 - n % 4 + (skew > 0) * 2, now)) <= 5
        assert users.immediately
    for n in range(50):  # a second behind, and then two
        now += 1
        assert abs(users.read(now - skew - 1_000 - 20 * n, now) - 1_000 - 20 * n) <= 5
        assert not users.immediately


def test_events_that_were_queued_say_nothing_of_the_clocks() -> None:
    """A job that cannot keep up is late by what it is late by, however evenly."""
    users, now = Flushing(10, eager=True), NOW
    for _ in range(10_000):
        now += 1
        users.read(now - 300, now)
        users.idle_from(now)
    assert not users.immediately
    now += 500  # rows of a whole backlog were written meanwhile
    users.idle_from(now)
    assert users.read(now - 400, now + 1) == 401


def test_an_event_that_was_held_up_once_is_no_difference_of_the_clocks() -> None:
    users, now = Flushing(10, eager=True), NOW
    users.read(now - 3, now)
    for late in (3, 4, 3_000, 2_000, 1_000):
        now += 100
        users.read(now - late, now)
    assert users.read(now - 1_000, now) == 997


def test_a_backlog_of_hours_is_no_difference_of_the_clocks() -> None:
    users, now = Flushing(10, eager=True), NOW
    for n in range(100):
        now += 30  # as slowly as it is read
        assert users.read(now - 10**7 + n, now) == 10**7 - n
    assert not users.immediately
