"""A column of lists, against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import string_lists
from feature_repo.string_lists import StringLists

puts = st.lists(st.tuples(st.integers(0, 12), st.none() | st.lists(st.sampled_from("abcde"), max_size=4)), max_size=60)


def lists_of(column: StringLists, rows: np.ndarray | None, n: int) -> list[list[str]]:
    codes, owners = column.elements(rows, n)
    found: list[list[str]] = [[] for _ in range(n if rows is None else len(rows))]
    for code, owner in zip(codes.tolist(), owners.tolist(), strict=True):
        found[owner].append(column.vocabulary.names[code])
    return found


@given(puts, st.lists(st.integers(0, 20), max_size=10), st.integers(0, 20), st.booleans())
def test_every_row_has_the_list_that_was_put_last(
    changes: list[tuple[int, list[str] | None]], some: list[int], n: int, small: bool
) -> None:
    before, string_lists.LEAST_GARBAGE = string_lists.LEAST_GARBAGE, 2 if small else string_lists.LEAST_GARBAGE
    try:
        column, expected = StringLists(), dict[int, list[str]]()
        for row, names in changes:
            if names is None:
                column.clear(row)
                expected.pop(row, None)
            else:
                column.put(row, names)
                expected[row] = names
        assert lists_of(column, None, n) == [expected.get(row, []) for row in range(n)]
        assert lists_of(column, np.array(some, np.int64), n) == [expected.get(row, []) for row in some]
        assert column.lengths(n).tolist() == [len(expected[row]) if row in expected else -1 for row in range(n)]
    finally:
        string_lists.LEAST_GARBAGE = before


def test_replaced_lists_take_no_room_for_long() -> None:
    column = StringLists()
    for n in range(50_000):
        column.put(n % 100, [f"x{n % 7}", f"y{n % 5}"])
    assert column.nbytes < 200_000
    assert lists_of(column, np.array([99]), 100) == [[f"x{49_999 % 7}", f"y{49_999 % 5}"]]


def test_a_reader_with_the_arrays_of_before_sees_the_other_rows_as_they_were() -> None:
    column = StringLists()
    for row in range(100):
        column.put(row, ["a"])
    arrays = column.arrays
    for n in range(20_000):
        column.put(5, ["b"] * (1 + n % 3))
    assert column.arrays is not arrays
    column.arrays = arrays
    assert [found for row, found in enumerate(lists_of(column, None, 100)) if row != 5] == [["a"]] * 99
