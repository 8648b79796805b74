"""Orders of scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommend.results import best_first

SCORES = st.floats(-(2.0**90), 2.0**90, width=32) | st.sampled_from([0.0, -0.0, 1.0])


@given(st.lists(SCORES, max_size=40))
def test_best_first_is_the_stable_order(scores: list[float]) -> None:
    values = np.array(scores, np.float32)
    assert best_first(values).tolist() == np.argsort(-values, kind="stable").tolist()


@pytest.mark.parametrize("equal", [2, 300])
def test_equal_scores_keep_their_order_in_long_lists(equal: int) -> None:
    values = np.random.default_rng(2).random(1000).astype(np.float32)
    values[np.random.default_rng(3).permutation(1000)[:equal]] = 0.5
    assert best_first(values).tolist() == np.argsort(-values, kind="stable").tolist()
