"""Checks of what a stage returns."""

from __future__ import annotations

from collections.abc import Sized
from typing import TypeVar

import numpy as np
import numpy.typing as npt

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


def best_first(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Positions (n,) of the finite scores (n,), the largest first; equal ones keep their order. A stable sort takes
    three times as long, and few lists have equal scores."""
    negated = -scores
    order = negated.argsort()
    found = negated.take(order)
    return negated.argsort(kind="stable") if (found[1:] == found[:-1]).any() else order
