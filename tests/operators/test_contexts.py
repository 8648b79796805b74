"""Contexts of events: the time of the person's week, and the kind of device."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contexts import CONTEXTS, contexts_of, time_context
from operators.contract import Record
from operators.gate import Gate
from schemas.events import Interaction, User
from tests.operators.records import World
from tests.operators.test_keyed import user_operator

MONDAY = 1_767_571_200_000
"""2026-01-05, midnight in UTC"""
HOUR = 3_600_000


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["", "Europe/Berlin", "America/New_York"]))
def test_a_time_is_in_the_quarter_of_the_persons_day(at: int, zone: str) -> None:
    time = datetime.fromtimestamp(at // 1000, ZoneInfo(zone) if zone else UTC)
    days = "weekend" if time.weekday() >= 5 else "weekday"
    assert CONTEXTS[time_context(at, zone)] == f"{days}_{('night', 'morning', 'afternoon', 'evening')[time.hour // 6]}"


@pytest.mark.parametrize(
    ("device", "expected"),
    [("ios", "mobile"), ("iOS", "mobile"), ("iPad", "tablet"), ("web", "desktop"), ("TV", "tv"), ("fridge", None),
     ("", None), (None, None), (3, None)],
)  # fmt: skip
def test_a_device_is_of_a_kind(device: Any, expected: str | None) -> None:
    names = [CONTEXTS[place] for place in contexts_of(MONDAY + 8 * HOUR, "", device)]
    assert names == ["weekday_morning", *([expected] if expected else [])]


@pytest.mark.parametrize(
    ("attributes", "properties", "expected"),
    [({}, {}, "weekday_night"), ({"timezone": "Asia/Tokyo"}, {}, "weekday_morning"),
     ({"timezone": "Asia/Tokyo"}, {"timezone": "America/New_York"}, "weekend_evening"),
     ({"timezone": 9}, {}, "weekday_night")],
)  # fmt: skip
def test_a_signal_has_the_contexts_of_where_the_person_is(
    attributes: dict[str, Any], properties: dict[str, Any], expected: str
) -> None:
    """Its own time zone counts before that of the profile."""
    gate, state = Gate(World()), user_operator().new()
    gate.take(state, Record(User("u1", attributes)))
    event = Interaction("e1", "click", "u1", MONDAY + HOUR, "i3", properties={"device": "android", **properties})
    (signal,) = gate.take(state, Record(event, arrived=MONDAY + HOUR))
    assert [CONTEXTS[place] for place in signal.contexts] == [expected, "mobile"]
