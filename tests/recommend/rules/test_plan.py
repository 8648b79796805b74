"""Numbers of tests, looked up by the bytes of their bits."""

from __future__ import annotations

import numpy as np
import pytest

from recommend.rules.matches import RowBits
from recommend.rules.plan import ByteTable


@pytest.mark.parametrize("combine", [np.add, np.maximum])
@pytest.mark.parametrize("tests", [1, 8, 9, 100])
def test_numbers_looked_up_are_those_of_the_matched_tests_combined(combine: np.ufunc, tests: int) -> None:
    rng = np.random.default_rng(tests)
    matched = rng.random((50, tests)) < 0.1
    numbers = [(test, int(rng.integers(1, 1000))) for test in range(tests) if test % 3 == 0]
    expected = np.zeros(50)
    for test, number in numbers:
        expected = combine(expected, np.where(matched[:, test], number, 0))
    bits = RowBits(np.packbits(matched, axis=1, bitorder="little"))
    assert ByteTable(numbers, combine).of(bits).tolist() == expected.tolist()


def test_without_tests_the_numbers_are_0() -> None:
    assert ByteTable([], np.add).of(RowBits(np.zeros((3, 8), np.uint8))).tolist() == [0.0, 0.0, 0.0]
