"""Candidates of several retrievers, merged."""

from __future__ import annotations

import numpy as np

from recommend import candidate_set


def test_lists_of_ever_new_lengths_take_no_more_memory() -> None:
    for n in range(500):
        merged = candidate_set.merge([np.arange(n), np.arange(5, 9)], ("a", "b"))
        assert len(merged.rows) == len({*range(n), *range(5, 9)})
    assert candidate_set._in_turn.cache_info().currsize <= 64
