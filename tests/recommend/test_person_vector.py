"""Where a person stands in a space, from their row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from operators.time import DAY
from recommend.person_vector import HALF_LIFE, vector_of
from tests.serving.made import NOW


class Space:
    """Vectors by item."""

    id, dim = "space", 2

    def vector(self, item_id: str) -> Any:
        return {"a": np.array([1, 0], np.float32), "b": np.array([0, 1], np.float32)}.get(item_id)


def test_a_vector_is_the_rows_own_or_made_of_the_recent_interactions() -> None:
    row = {
        "vector": [1.0, 0.0], "vector_space": "space", "recent_items": ["b", "a", "?"],
        "recent_times": [NOW, NOW - HALF_LIFE, NOW - DAY], "recent_tastes": [2.0, 2.0, 3.0],
    }  # fmt: skip
    own = vector_of(row, Space())
    assert own is not None
    assert own.tolist() == [1, 0]
    made = vector_of(row | {"vector_space": "older"}, Space())
    assert made is not None
    assert made == pytest.approx(np.array([1.0, 2.0]) / np.sqrt(5))
    nothing = {"recent_items": [], "recent_times": [], "recent_tastes": [], "vector": [], "vector_space": ""}
    assert vector_of(nothing, Space()) is None
