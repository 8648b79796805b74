"""When a message may be sent: caps over any sequence of runs, quiet hours where the person is, opt-outs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.time import DAY, HOUR, MINUTE, days
from recommend.digest import DigestPlan, MessageCap, is_capped, is_quiet, quiet_until, wants, zone_of
from recommend.surfaces.email import email
from recommend.surfaces.push import push
from schemas.local_time import STEP

NIGHT = DigestPlan(quiet=(22, 8))
ZONES = (
    "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "UTC",
    "Pacific/Apia", "Africa/Casablanca", "America/Santiago",
)  # fmt: skip
"""of whole, half and quarter hours, clocks that are put forward at midnight, by half an hour, or twice a year"""


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def hour_at(at: int, zone: str) -> float:
    """As the standard library has it."""
    there = datetime.fromtimestamp(at / 1000, ZoneInfo(zone))
    return there.hour + there.minute / 60 + there.second / 3600


times = st.integers(ms("2024-01-01T00:00:00+00:00"), ms("2028-01-01T00:00:00+00:00"))
hours = st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda pair: pair[0] != pair[1])


@given(times, st.sampled_from(ZONES), hours)
@example(ms("2026-03-29T00:30:00+00:00"), "Europe/Berlin", (1, 3))
@example(ms("2026-10-25T00:10:00+00:00"), "Europe/Berlin", (2, 3))
@example(ms("2026-09-06T03:30:00+00:00"), "America/Santiago", (22, 1))
def test_nothing_is_sent_in_quiet_hours_and_it_is_as_soon_as_they_are_over(at: int, zone: str, quiet: Any) -> None:
    digest = DigestPlan(quiet=quiet)
    start, end = quiet

    def silent(moment: int) -> bool:
        hour = hour_at(moment, zone)
        return start <= hour < end if start < end else hour >= start or hour < end

    assert is_quiet(digest, at, zone) == silent(at)
    until = quiet_until(digest, at, zone)
    if until is None:
        assert not silent(at)
        return
    assert until > at
    assert not silent(until)
    assert all(silent(moment) for moment in range(at, until, STEP))
    assert silent(until - 1)
    assert until - at <= 26 * HOUR


def test_quiet_hours_end_by_the_clocks_of_the_place() -> None:
    at = ms("2026-03-28T23:00:00+01:00")  # clocks are put forward that night
    assert quiet_until(NIGHT, at, "Europe/Berlin") == ms("2026-03-29T08:00:00+02:00")
    at = ms("2026-10-24T23:00:00+02:00")
    assert quiet_until(NIGHT, at, "Europe/Berlin") == ms("2026-10-25T08:00:00+01:00")
    assert quiet_until(NIGHT, ms("2026-06-01T12:00:00+02:00"), "Europe/Berlin") is None
    assert quiet_until(DigestPlan(quiet=None), at, "Europe/Berlin") is None


@given(
    st.lists(st.integers(1, 6 * 60), max_size=60),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 72)), min_size=1, max_size=3),
)
def test_no_cap_is_ever_exceeded(minutes: list[int], caps: list[tuple[int, int]]) -> None:
    digest = DigestPlan(caps=tuple(MessageCap(most, n * HOUR) for most, n in caps), quiet=None)
    sent: list[int] = []
    now = ms("2026-01-01T00:00:00+00:00")
    for wait in minutes:
        now += wait * MINUTE
        held = is_capped(digest, sent, now)
        reasons = [cap for cap in digest.caps if sum(now - cap.within < at for at in sent) >= cap.most]
        assert held == bool(reasons)
        if not held:
            sent.append(now)
    for cap in digest.caps:
        for first in sent:
            assert sum(first <= at < first + cap.within for at in sent) <= cap.most


@pytest.mark.parametrize("plan", [DigestPlan(), email.digest, push.digest])
def test_a_daily_run_that_comes_to_a_person_somewhat_earlier_is_not_capped(plan: DigestPlan) -> None:
    """Nor are those of the same days of the next week."""
    first = ms("2026-01-05T12:00:00+00:00")
    week = max(cap.most for cap in plan.caps)
    sent = [first + n * DAY - n * 10_000 for n in range(week)]
    for n, at in enumerate(sent):
        assert not is_capped(plan, sent[:n], at)
    assert is_capped(plan, sent, sent[-1] + 19 * HOUR)
    assert not is_capped(plan, sent, first + days(7) - 60_000)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, True), ({"digests": True}, True), ({"digests": False}, False), ({"digests": ["email"]}, True),
        ({"digests": ["push"]}, False), ({"digests": []}, False), ({"digests": "no"}, False), ({"digests": 0}, False),
    ],
)  # fmt: skip
def test_who_gets_messages(attributes: dict[str, Any], expected: bool) -> None:
    assert wants(attributes, "email") is expected


def test_the_zone_is_the_profile_s_if_there_is_such_a_one() -> None:
    berlin = DigestPlan(timezone="Europe/Berlin")
    assert zone_of(berlin, {"timezone": "Asia/Tokyo"}) == "Asia/Tokyo"
    assert zone_of(berlin, {"timezone": "UTC"}) == "UTC"
    for other in ({}, {"timezone": "Mars/Olympus"}, {"timezone": 7}, {"timezone": ""}):
        assert zone_of(berlin, other) == "Europe/Berlin"


@pytest.mark.parametrize(
    "wrong",
    [
        {"caps": (MessageCap(0, DAY),)}, {"caps": (MessageCap(1, 0),)}, {"caps": (MessageCap(1, days(61)),)},
        {"quiet": (8, 8)}, {"quiet": (0, 24)}, {"quiet": (-1, 8)}, {"timezone": "Mars/Olympus"}, {"least": 0},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="digest: "):
        DigestPlan(**wrong)


def test_the_standard_library_agrees_on_utc() -> None:
    at = ms("2026-01-01T22:00:00+00:00")
    assert is_quiet(NIGHT, at, "UTC")
    assert datetime.fromtimestamp(at / 1000, UTC).hour == 22
