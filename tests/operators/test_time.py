"""Durations and their names."""

from __future__ import annotations

import pytest

from operators.time import DAY, HOUR, MINUTE, SECOND, days, hours, label, minutes


def test_durations_are_milliseconds() -> None:
    assert (minutes(1.5), hours(1), days(0.5)) == (90_000, 3_600_000, 43_200_000)
    assert (60 * SECOND, 60 * MINUTE, 24 * HOUR) == (MINUTE, HOUR, DAY)


@pytest.mark.parametrize(
    ("duration", "name"),
    [(5 * MINUTE, "5m"), (HOUR, "1h"), (90 * MINUTE, "90m"), (DAY, "24h"), (2 * DAY, "48h"), (7 * DAY, "7d"),
     (15 * SECOND, "15s")],
)  # fmt: skip
def test_names(duration: int, name: str) -> None:
    assert label(duration) == name
