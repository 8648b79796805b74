"""How old items are."""

from __future__ import annotations

import numpy as np

from feature_repo.age import ages
from operators.time import DAY, MINUTE
from schemas.events import MAX_FUTURE_MS

NOW = 1_767_225_600_000


def test_an_item_of_the_future_has_no_age_until_its_time() -> None:
    created = NOW + np.array([-DAY, 0, 1, MAX_FUTURE_MS, MAX_FUTURE_MS + 1, 73_000 * DAY, np.nan])
    assert np.array_equal(ages(created, NOW), [DAY, 0, 0, 0, np.nan, np.nan, np.nan], equal_nan=True)
    assert ages(created, NOW + 2 * MINUTE)[4] == 0
    assert ages(created[:0], NOW).shape == (0,)
