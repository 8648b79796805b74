"""Checks of what a stage returns."""

from __future__ import annotations

from collections.abc import Sized
from typing import TypeVar

import numpy as np

from feature_repo.columns import Rows
from recommend.stage import StageError

S = TypeVar("S", bound=Sized)


def within(numbers: Rows, n: int) -> bool:
    """Whether all numbers are from 0 to n - 1; there is one at least."""
    return bool(numbers.astype(np.uint64).max() < n)  # in which numbers below 0 are beyond all others


def of_length(result: S, n: int) -> S:
    """The result. Raises StageError where it is not of n candidates."""
    if len(result) != n:
        raise StageError(f"the result is of {len(result)} candidates instead of {n}")
    return result
