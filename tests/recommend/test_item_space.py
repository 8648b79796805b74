"""Rows, labels, vectors and searches of one space, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.columns import ItemColumns
from operators.space import Content, origin, tokens
from recommend.index import ItemIndex
from recommend.item_space import ItemSpace
from schemas.errors import BundleError
from schemas.events import Item
from tests.bundles import unit_rows

DIM = 8


def made(
    vectors: np.ndarray, rows: list[int] | None = None, origins: list[int] | None = None, indexed: bool = True
) -> ItemSpace:
    """A space of these unit vectors over columns that have other items first, rows in reverse unless given."""
    n, dim = vectors.shape
    columns = ItemColumns()
    for k in range(n + 5):
        columns.row(f"i{k}")
    index = None
    if indexed:
        index = ItemIndex(dim, None, n)
        index.add(np.arange(n), vectors)
    content = Content(["category:a", "category:b"], np.eye(2, dim, dtype=np.float32), dim)
    placed = np.array(range(n)[::-1] if rows is None else rows, np.int64)
    found = np.zeros(n, np.uint64) if origins is None else np.array(origins, np.uint64)
    return ItemSpace("s", vectors.copy(), found, content, columns, placed, index)


def exact(vectors: np.ndarray, rows: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """The k best cosines to each of the vectors asked for."""
    return np.sort(asked @ vectors[rows].T, axis=1)[:, ::-1][:, :k]


def test_vectors_by_row_and_none_for_others() -> None:
    vectors = unit_rows(np.random.default_rng(0), 4, DIM)
    space = made(vectors)
    rows = np.array([3, 0, 7, 2, 100_000])
    np.testing.assert_array_equal(space.vectors_of(rows)[[0, 1, 3]], vectors[[0, 3, 1]])
    assert not space.vectors_of(rows)[[2, 4]].any()
    assert space.has(rows).tolist() == [True, True, False, True, False]
    assert space.labels_of(rows).tolist() == [0, 3, -1, 1, -1]
    np.testing.assert_array_equal(space.vector("i3"), vectors[0])
    assert space.vector("i7") is None
    assert space.vector("nobody") is None
    assert (len(space), space.bundled, space.rows.tolist()) == (4, 4, [3, 2, 1, 0])


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 80), st.floats(0, 1), st.booleans())
def test_nearest_of_those_that_pass_is_what_an_exhaustive_search_finds(
    seed: int, n: int, k: int, share: float, indexed: bool
) -> None:
    rng = np.random.default_rng(seed)
    vectors, asked = unit_rows(rng, n, DIM), unit_rows(rng, 3, DIM)
    space = made(vectors, rows=list(range(n)), indexed=indexed)
    keep = rng.random(n + 5) < share
    found = space.nearest(asked, k, keep)
    passing = np.flatnonzero(keep[:n])
    assert found.shape == (3, min(k, len(passing)))
    assert np.isin(found, passing).all()
    for row, vector in zip(found, asked, strict=True):
        assert len(np.unique(row)) == len(row)
        cosines = vectors[row] @ vector
        np.testing.assert_allclose(cosines, exact(vectors, passing, vector[None], k)[0], atol=1e-5)


def test_sold_out_neighbours_are_made_up_for() -> None:
    """60 unavailable twins around an item do not take the places of those that are available."""
    rng = np.random.default_rng(1)
    twins = np.repeat(unit_rows(rng, 1, DIM), 60, axis=0)
    vectors = np.concatenate([twins, unit_rows(rng, 40, DIM)])
    space = made(vectors, rows=list(range(100)))
    keep = np.ones(100, bool)
    keep[:60] = False
    found = space.nearest(twins[:1], 5, keep)[0]
    np.testing.assert_allclose(
        vectors[found] @ twins[0], exact(vectors, np.arange(60, 100), twins[:1], 5)[0], atol=1e-6
    )


@pytest.mark.parametrize("n", [300, 1000])
@pytest.mark.parametrize("keep", [False, True])
def test_many_items_of_one_vector_are_all_found(n: int, keep: bool) -> None:
    """hnswlib finds too few among equal vectors and raises: the product with all of them finds the rest."""
    rng = np.random.default_rng(2)
    vectors = np.concatenate([np.repeat(unit_rows(rng, 1, DIM), n, axis=0), unit_rows(rng, 50, DIM)])
    space = made(vectors, rows=list(range(n + 50)))
    mask = np.ones(n + 50, bool) if keep else None
    for k in (1, 70, 200, n + 50, n + 500):
        for asked in (vectors[:1], vectors[-3:]):
            found = space.nearest(asked, k, mask)
            assert found.shape == (len(asked), min(k, n + 50))
            assert all(len(np.unique(row)) == len(row) for row in found)


def test_a_search_that_the_graph_cannot_answer_takes_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_rows(np.random.default_rng(3), 30, DIM)
    space = made(vectors, rows=list(range(30)))
    monkeypatch.setattr(space.index, "search", lambda vectors, k: None)
    found = space.nearest(vectors[:2], 7)
    for row, vector in zip(found, vectors[:2], strict=True):
        np.testing.assert_allclose(vectors[row] @ vector, exact(vectors, np.arange(30), vector[None], 7)[0], atol=1e-6)


def test_an_empty_space_finds_nothing() -> None:
    space = made(np.zeros((0, DIM), np.float32))
    assert space.nearest(np.ones((2, DIM), np.float32), 5).shape == (2, 0)
    assert space.nearest(np.ones((2, DIM), np.float32), 5, np.ones(3, bool)).shape == (2, 0)
    assert space.vectors_of(np.arange(3)).shape == (3, DIM)


# -- items that join and change ---------------------------------------------------------------------


def test_an_item_joins_moves_and_loses_its_content() -> None:
    vectors = unit_rows(np.random.default_rng(4), 3, DIM)
    space = made(vectors, rows=[0, 1, 2])
    a, b = np.eye(2, DIM, dtype=np.float32)
    for item, expected in ((Item("i5", "", ["a"]), a), (Item("i5", "", ["b"]), b), (Item("i5", "", ["a"]), a)):
        space.put_item(5, item)
        np.testing.assert_array_equal(space.vector("i5"), expected)
        assert space.nearest(expected[None], 1)[0, 0] == 5
        assert len(space) == 4
    for _ in range(3):
        space.put_item(5, Item("i5"))
        assert space.vector("i5") is None
        assert len(space) == 3
        assert 5 not in space.nearest(a[None], 10)[0]
    space.put_item(5, Item("i5", "", ["b"]))
    assert space.nearest(b[None], 1)[0, 0] == 5
    assert len(space) == 4


def test_the_catalogue_moves_what_content_has_made_and_nothing_that_behaviour_has() -> None:
    vectors = unit_rows(np.random.default_rng(5), 2, DIM)
    same = origin(tokens(Item("i1", "", ["b"])))
    space = made(vectors, rows=[0, 1], origins=[0, same])
    assert space.learned(np.array([0, 1, 2])).tolist() == [True, False, False]
    space.put_item(0, Item("i0", "", ["a"]))
    space.put_item(1, Item("i1", "", ["b"]))
    np.testing.assert_array_equal(space.vectors_of(np.array([0, 1])), vectors)
    space.put_item(1, Item("i1", "", ["a"]))
    np.testing.assert_array_equal(space.vector("i1"), np.eye(1, DIM, dtype=np.float32)[0])
    assert space.nearest(np.eye(1, DIM, dtype=np.float32), 1)[0, 0] == 1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_thousands_that_join_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = made(unit_rows(rng, 10, DIM), rows=list(range(10)))
    items = {row: Item(f"x{row}", f"w{rng.integers(40)} w{rng.integers(40)}") for row in rng.integers(20, 5000, 600)}
    for row, item in items.items():
        space.put_item(int(row), item)
    rows = np.array(list(items))
    expected = np.array([space.content.bag(tokens(item)) for item in items.values()])
    np.testing.assert_array_equal(space.vectors_of(rows), expected)
    assert len(space) == 10 + len(items)


# -- what a space must be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "origins", "says"),
    [([0, 1], None, "differ in length"), ([0, 1, 1], None, "stands twice"), (None, [0, 0], "differ in length")],
)
def test_what_does_not_fit_is_refused(rows: list[int] | None, origins: list[int] | None, says: str) -> None:
    with pytest.raises(BundleError, match=says):
        made(unit_rows(np.random.default_rng(0), 3, DIM), rows, origins)


def test_an_index_of_other_labels_is_refused() -> None:
    vectors = unit_rows(np.random.default_rng(0), 3, DIM)
    columns = ItemColumns()
    rows = np.array([columns.row(f"i{k}") for k in range(3)])
    for labels in ([0, 1], [1, 2, 3], [0, 1, 2, 3]):
        index = ItemIndex(DIM, None, 3)
        index.add(np.array(labels), unit_rows(np.random.default_rng(1), len(labels), DIM))
        with pytest.raises(BundleError, match="labels of its index"):
            ItemSpace("s", vectors, np.zeros(3, np.uint64), Content([], vectors[:0], DIM), columns, rows, index)
