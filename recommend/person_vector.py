"""Where a person stands in a model's space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_repo import views
from operators.contract import Space, Vector

HALF_LIFE: int = views.USER_VECTOR.half_life


def vector_of(row: Mapping[str, Any], space: Space) -> Vector | None:
    """A person's unit vector (dim,) in a space, from a row of `user_activity`: the row's own where that is of the
    space, else made of the recent interactions as operators/vector.py makes it; None where they say nothing."""
    if row["vector_space"] == space.id and len(row["vector"]):
        return np.asarray(row["vector"], np.float32)
    total = np.zeros(space.dim, np.float64)
    times = row["recent_times"]
    for item_id, at, taste in zip(row["recent_items"], times, row["recent_tastes"], strict=True):
        vector = space.vector(item_id) if taste else None
        if vector is not None:
            total += float(taste) * 2.0 ** ((int(at) - int(times[0])) / HALF_LIFE) * vector
    length = float(np.sqrt(total @ total))
    return (total / length).astype(np.float32) if length > 1e-12 else None
