"""Rows by code are those that a scan of the catalogue finds, whatever changes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.columns import ItemColumns
from feature_repo.postings import LEAST, Postings
from schemas.events import Item

NAMES = [f"c{n}" for n in range(12)]
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.lists(st.sampled_from(NAMES), max_size=12, unique=True),
        st.sampled_from(["", "x", "y"]),
    ),
    max_size=40,
)


@given(CHANGES)
def test_items_of_a_category_and_of_a_brand(changes: list[tuple[int, list[str], str]]) -> None:
    columns = ItemColumns(2)
    held: dict[int, tuple[list[str], str]] = {}
    for number, categories, brand in changes:
        for code in columns.category_codes.values():
            columns.by_category.of(code)  # what is kept of a reading is right at the next one
        row = columns.put_item(Item(item_id=f"i{number}", categories=categories, brand=brand or None))
        held[row] = categories, brand
    for name, code in columns.category_codes.items():
        assert columns.by_category.of(code).tolist() == sorted(row for row, (names, _) in held.items() if name in names)
    for name, code in columns.brand_codes.items():
        assert columns.by_brand.of(code).tolist() == sorted(row for row, (_, brand) in held.items() if name == brand)


def test_an_item_that_goes_to_and_fro_takes_no_more_room() -> None:
    postings = Postings(lambda code, rows: np.ones(len(rows), bool))
    for _ in range(1000):
        postings.put(3, (), (1,))
        postings.put(3, (1,), ())
    assert postings.of(1).tolist() == [3]
    assert len(postings._rows[1]) <= 2 * LEAST


def test_an_unknown_code_has_no_rows() -> None:
    found = ItemColumns().by_category.of(7)
    assert found.tolist() == []
    assert found.dtype == np.int64
