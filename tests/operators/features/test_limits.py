"""Limits of what can be declared."""

from __future__ import annotations

import pytest

from operators.features.limits import LONGEST, SHORTEST, within
from operators.time import DAY
from schemas.errors import FeatureError


@pytest.mark.parametrize("length", [SHORTEST, LONGEST])
def test_what_is_within(length: int) -> None:
    within("a window", length)


@pytest.mark.parametrize("length", [SHORTEST - 1, LONGEST + 1, 1e5, "1h", None, -1])
def test_what_is_not(length: int) -> None:
    with pytest.raises(FeatureError, match=r"a window of .* ms; from 1 minute to 90 days is possible"):
        within("a window", length)


def test_another_limit() -> None:
    with pytest.raises(FeatureError, match="to 1 days"):
        within("a gap", DAY + 1, DAY)
