"""When changed rows leave, by how late events are."""

from __future__ import annotations

import pytest
from streams.boundaries import EAGER_MS, LONGEST_INTERVAL_MS, PATIENCE, SPREAD, Boundaries

NOW = 1_767_225_600_000


@pytest.mark.parametrize("behind", [-5_000, 0, 9, 500, 2_000, 2_100, 60_000, 10**9])
def test_keys_that_are_about_as_late_share_a_boundary(behind: int) -> None:
    boundaries = Boundaries(10, NOW)
    found = set()
    for more in range(5):
        assert boundaries.read(NOW - behind - more, NOW) == behind + more
        found.add(boundaries.after(NOW))
    assert len(found) == 1
    (boundary,) = found
    assert 0 < boundary - NOW <= max(10, min(behind // PATIENCE + 2, LONGEST_INTERVAL_MS))


def test_nothing_waits_while_events_are_in_time() -> None:
    users, items = Boundaries(10, NOW, eager=True), Boundaries(3_000, NOW, SPREAD)
    for each in (users, items):
        each.read(NOW - EAGER_MS + 1, NOW)
    assert (users.at_once, items.at_once) == (True, False)
    users.read(NOW - EAGER_MS, NOW)
    assert not users.at_once


def test_an_item_waits_for_its_interval_and_others_for_other_moments() -> None:
    items = Boundaries(3_000, NOW, SPREAD)
    items.read(NOW, NOW)
    waits = {items.after(NOW + ms) - NOW - ms for ms in range(3_000)}
    assert max(waits) <= 3_000
    assert min(waits) > 3_000 - 3_000 // SPREAD
    assert len({items.after(NOW + ms) for ms in range(3_000)}) == SPREAD


def test_a_boundary_of_a_backlog_gives_way_when_that_is_gone() -> None:
    users = Boundaries(10, NOW)
    users.read(NOW - 60_000, NOW)
    late = users.after(NOW)
    assert not users.too_late(late, NOW)
    users.read(NOW - 1_500, NOW)
    assert users.too_late(late, NOW)
    assert users.too_late(0, NOW)
    users.rest()
    assert users.after(NOW) == NOW + 10
