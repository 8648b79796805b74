"""Membership in a sorted array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def among(values: npt.NDArray[Any], known: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which values (n,) are among `known`, which ascends: `np.isin` would sort both together for each filter."""
    if not len(known):
        return np.zeros(len(values), bool)
    return known.take(np.searchsorted(known, values), mode="clip") == values
