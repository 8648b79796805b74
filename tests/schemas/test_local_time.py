"""Local time by the names of time zones, compared with the standard library's."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.local_time import is_zone, local

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "UTC")


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(ZONES))
def test_the_clocks_of_a_zone(at: int, name: str) -> None:
    shown = datetime.fromtimestamp(local(at, name) // 1000, UTC).replace(tzinfo=None)
    assert shown == datetime.fromtimestamp(at // 1000, ZoneInfo(name)).replace(tzinfo=None)


@pytest.mark.parametrize("name", ["", "Nowhere/City", "../etc/passwd", "Europe", "a\0b", "x" * 1000])
def test_a_zone_that_there_is_not_is_utc(name: str) -> None:
    assert not is_zone(name)
    assert local(1_767_225_600_000, name) == 1_767_225_600_000


def test_a_year_that_the_calendar_does_not_have() -> None:
    assert local(2**60, "Europe/Berlin") == 2**60
