"""How new items are, for re-rankers and reasons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feature_repo.age import ages
from operators.time import DAY

HALF_LIFE_DAYS = 3.0
NEW_DAYS = 14.0


def is_new(created_at: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.bool_]:
    """Which items count as new, by when they were created (epoch ms, NaN where unknown)."""
    return ages(created_at, at) < NEW_DAYS * DAY


def recency(created_at: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.float32]:
    """1 for an item created just now, half of it after HALF_LIFE_DAYS, 0 for one that is not new."""
    days = ages(created_at, at) / DAY
    return np.where(days < NEW_DAYS, 2.0 ** (-days / HALF_LIFE_DAYS), 0.0).astype(np.float32)
