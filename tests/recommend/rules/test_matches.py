"""Results of tests, kept as bits."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest

from feature_repo.columns import ItemColumns, Mask, Rows
from recommend.rules.matches import STALE_MS, Matches
from schemas.events import Item


@dataclass(frozen=True)
class EveryNth:
    """The test whether the row is a multiple of `n`."""

    n: int

    @property
    def name(self) -> int:
        return self.n

    def passes(self, columns: ItemColumns, rows: Rows | None) -> Mask:
        return (np.arange(columns.n) if rows is None else rows) % self.n == 0


@dataclass
class Expensive:
    """The test whether an item has a price above 50, which counts how often it is evaluated."""

    rows: list[int] = field(default_factory=list)
    """how many rows, each time"""
    name = "dear"

    def passes(self, columns: ItemColumns, rows: Rows | None) -> Mask:
        chosen = np.arange(columns.n) if rows is None else rows
        self.rows.append(len(chosen))
        return np.array([(item := columns.items[row]) is not None and (item.price or 0) > 50 for row in chosen], bool)


def columns_of(n: int) -> ItemColumns:
    found = ItemColumns(n)
    for k in range(n):
        found.row(f"i{k}")
    return found


@pytest.mark.parametrize("tests", [1, 8, 63, 64, 65, 200])
def test_bits_are_the_results_of_the_tests(tests: int) -> None:
    rows = np.arange(300)
    known = Matches(columns_of(300), [EveryNth(n) for n in range(1, 1 + tests, 2)])  # type: ignore[misc]
    for before in (None, known):
        found = Matches(columns_of(300), [EveryNth(n) for n in range(1, 1 + tests)], before)  # type: ignore[misc]
        bits = found.bits(rows, 0)
        for number in range(tests):
            assert bits.of(number).tolist() == (rows % (number + 1) == 0).tolist()
            assert bits.positions(number).tolist() == np.flatnonzero(rows % (number + 1) == 0).tolist()
        assert found.visible(found.key([tests - 1])).tolist() == (rows % tests > 0).tolist()


def test_positions_of_several_tests_at_once_are_those_of_each() -> None:
    found = Matches(columns_of(300), [EveryNth(n) for n in (1, 7, 400, 3, 64, 500, 2)])  # type: ignore[misc]
    bits = found.bits(np.arange(1, 300), 0)
    asked = [6, 2, 0, 3, 4]
    listed = bits.listed(asked)
    assert 2 not in listed
    for test in set(asked) - {2}:
        assert listed[test].tolist() == bits.positions(test).tolist()
    assert found.bits(np.zeros(0, np.int64), 0).listed(asked) == {}
    assert bits.listed([]) == {}


def test_changed_items_are_evaluated_together_and_never_read_before_they_are() -> None:
    columns, test = ItemColumns(200), Expensive()
    for k in range(200):
        columns.put_item(Item(f"i{k}", price=1.0))
    found = Matches(columns, [test])  # type: ignore[list-item]
    now, some = 1_000_000, np.arange(50)
    found.bits(some, now)
    test.rows.clear()

    def change(*numbers: int) -> None:
        for k in numbers:
            columns.put_item(Item(f"i{k}", price=99.0))

    change(3, 70, 80)
    assert found.bits(some, now).positions(0).tolist() == [3]
    assert test.rows == [3], "all that have changed, at once"
    change(4, 90, 91)
    assert found.bits(some, now + STALE_MS - 1).positions(0).tolist() == [3, 4]
    assert test.rows == [3, 1], "a little later only what the request reads"
    change(92)
    found.bits(some, now - 1)
    assert found.bits(some, now + STALE_MS - 1).positions(0).tolist() == [3, 4]
    assert test.rows == [3, 1], "or nothing"
    assert found.bits(np.arange(200), now + STALE_MS).positions(0).tolist() == [3, 4, 70, 80, 90, 91, 92]
    assert test.rows == [3, 1, 3]


def test_many_tests_of_many_items_take_little_more_memory_than_their_bits() -> None:
    items, tests = 20_000, 640
    columns = columns_of(items)
    tracemalloc.start()
    Matches(columns, [EveryNth(n) for n in range(1, 1 + tests)])  # type: ignore[misc]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * items * tests / 8
