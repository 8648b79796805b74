"""Candidates of several retrievers, merged."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommend import candidate_set
from recommend.candidate_set import CandidateSet

ROWS = st.integers(0, 30) | st.integers(2**31, 2**31 + 3)


@given(st.lists(st.lists(ROWS, max_size=20), max_size=4))
def test_a_merge_takes_the_lists_in_turn_and_each_row_once(found: list[list[int]]) -> None:
    names = tuple(f"r{k}" for k in range(len(found)))
    merged = candidate_set.merge([np.array(rows, np.int64) for rows in found], names)
    in_turn = [row for turn in zip_longest(*found) for row in turn if row is not None]
    assert merged.rows.tolist() == list(dict.fromkeys(in_turn))
    for position, row in enumerate(merged.rows.tolist()):
        assert merged.sources_of(position) == [
            name for name, rows in zip(names, found, strict=True) if row in rows
        ]  # fmt: skip


@pytest.mark.parametrize("rows", [[7, 3, 5], [7, 3, 7, 5, 3]])
def test_candidates_of_one_source_alone_are_a_copy_of_it_with_each_row_once(rows: list[int]) -> None:
    own, none = np.array(rows), np.zeros(0, np.int64)
    merged = candidate_set.merge([none, own, none], ("a", "b", "c"))
    own[:] = 0
    assert (merged.rows.tolist(), merged.sources.tolist()) == ([7, 3, 5], [2, 2, 2])
    assert (merged.rows.dtype, merged.sources.dtype) == (np.int64, np.uint32)


def test_the_first_candidates_are_what_their_positions_choose() -> None:
    rng = np.random.default_rng(1)
    rows, sources = rng.integers(0, 99, 9), rng.integers(0, 7, 9).astype(np.uint32)
    heads, features = rng.random((9, 2)).astype(np.float32), rng.random((9, 3)).astype(np.float32)
    whole = CandidateSet(rows, sources, ("a",), heads[:, 0], heads, features, ("x", "y"), ("f", "g", "h"))
    for n in (0, 4, 9, 12):
        by_mask, by_place = whole.take(np.arange(9) < n), whole.take(np.arange(min(n, 9)))
        for found in (whole.first(n), by_mask, by_place):
            assert found.rows.tolist() == rows[:n].tolist()
            assert found.sources.tolist() == sources[:n].tolist()
            assert found.scores is not None
            assert found.heads is not None
            assert found.features is not None
            np.testing.assert_array_equal(found.scores, heads[:n, 0])
            np.testing.assert_array_equal(found.heads, heads[:n])
            np.testing.assert_array_equal(found.features, features[:n])
            assert (found.names, found.head_names, found.feature_names) == (("a",), ("x", "y"), ("f", "g", "h"))
        rest, chosen = whole.after(n), whole.take(np.arange(n, 9))
        for name in ("rows", "sources", "scores", "heads", "features"):
            np.testing.assert_array_equal(getattr(rest, name), getattr(chosen, name))
        assert (rest.names, rest.head_names, rest.feature_names) == (("a",), ("x", "y"), ("f", "g", "h"))


def test_lists_of_ever_new_lengths_take_no_more_memory() -> None:
    for n in range(500):
        merged = candidate_set.merge([np.arange(n), np.arange(5, 9)], ("a", "b"))
        assert len(merged.rows) == len({*range(n), *range(5, 9)})
    assert candidate_set._in_turn.cache_info().currsize <= 64
