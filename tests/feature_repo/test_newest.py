"""The newest items, compared with a scan of all."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from feature_repo.columns import ItemColumns
from feature_repo.newest import Newest
from schemas.events import Item

PUTS = st.lists(st.tuples(st.integers(0, 9), st.one_of(st.just(math.nan), st.integers(0, 50).map(float))), max_size=60)


@given(PUTS, st.integers(-1, 50), st.integers(-1, 60))
def test_rows_are_those_of_a_scan_newest_first(puts: list[tuple[int, float]], after: int, until: int) -> None:
    newest, known = Newest(most=20), {}
    for row, created_at in puts:
        newest.put(row, created_at)
        known[row] = created_at
    expected = [row for row, created_at in known.items() if after < created_at <= until]
    found = newest.between(after, until).tolist()
    assert sorted(found) == sorted(expected)
    assert [known[row] for row in found] == sorted((known[row] for row in found), reverse=True)


@given(st.permutations(range(100)))
def test_the_newest_are_kept_whatever_the_order(order: list[int]) -> None:
    newest = Newest(most=10)
    for created_at in order:
        newest.put(created_at, float(created_at))
    assert newest.between(-1, 100).tolist()[:10] == list(range(99, 89, -1))
    assert len(newest.between(-1, 100)) <= 20


def test_columns_keep_them_and_forget_one_that_becomes_old() -> None:
    columns = ItemColumns()
    for name, created_at in (("a", 5_000), ("b", 9_000), ("c", None)):
        columns.put_item(Item(name, created_at=created_at))
    assert columns.newest.between(0, 9_999).tolist() == [1, 0]
    columns.put_item(Item("b", created_at=None))
    assert columns.newest.between(0, 9_999).tolist() == [0]
