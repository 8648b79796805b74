"""The index while another thread adds to it: no search fails, and what has been added is found."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.searching_server import recalls
from feature_repo.columns import ItemColumns
from operators.space import Content
from recommend.index import CHUNK, ItemIndex
from recommend.item_space import ItemSpace
from schemas.events import Item

DIM, BUNDLED, ADDED = 32, 2000, 3000
"""more are added than there is room for at first: the index grows while it is searched"""
K = 100


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def made(n: int, seed: int) -> tuple[ItemColumns, ItemSpace]:
    """Columns and a space over `n` items in clusters, with an index."""
    rng = np.random.default_rng(seed)
    columns = ItemColumns()
    for k in range(n):
        columns.put_item(Item(f"i{k}"))
    centres = rng.normal(size=(20, DIM))
    vectors = unit(centres[rng.integers(20, size=n)] + 0.7 * rng.normal(size=(n, DIM)))
    index = ItemIndex(DIM)
    index.add(np.arange(n), vectors)
    names = [f"category:c{k}" for k in range(40)]
    content = Content(names, unit(rng.normal(size=(40, DIM))), DIM)
    return columns, ItemSpace("s", vectors, np.zeros(n, np.uint64), content, columns, np.arange(n), index)


def item(number: int, chance: np.random.Generator) -> Item:
    one, other = chance.integers(40, size=2)
    return Item(f"new{number}", f"Title {number}", [f"c{one}", f"c{other}"], f"b{number % 97}")


@pytest.mark.parametrize("share", [1.0, 0.5], ids=["all", "half_of_them_pass"])
def test_searches_while_items_are_added_fail_never_and_find_what_is_there(share: float) -> None:
    columns, space = made(BUNDLED, seed=1)
    failed: list[BaseException] = []
    added = threading.Event()

    def add() -> None:
        chance = np.random.default_rng(2)
        try:
            for number in range(ADDED):
                new = item(number, chance)
                space.put_item(columns.put_item(new), new)
        except BaseException as error:
            failed.append(error)
        finally:
            added.set()

    rng, during, after = np.random.default_rng(3), list[float](), list[float]()

    def search() -> list[float]:
        allowed = columns.available.copy()
        allowed &= np.arange(len(allowed)) % 10 < 10 * share
        rows = np.flatnonzero(allowed)
        rows = rows[space.has(rows)]
        vectors = space.vectors_of(rng.choice(rows, 4))
        answers = space.nearest(vectors, K, allowed)
        assert answers.shape == (4, K)
        assert allowed[answers].all()
        return recalls(space, vectors, answers, rows, K)

    thread = threading.Thread(target=add, daemon=True)
    thread.start()
    while not added.is_set():
        during += search()
    thread.join()
    assert failed == []
    for _ in range(20):
        after += search()
    assert len(space) == BUNDLED + ADDED
    assert len(during) >= 20
    assert np.mean(during) >= 0.95
    assert np.mean(after) >= 0.95


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 3 * CHUNK),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3 * CHUNK)), max_size=40),
    st.integers(0, 3),
)
def test_any_additions_moves_and_removals_leave_what_an_exact_product_finds(
    n: int, changes: list[tuple[bool, int]], seed: int
) -> None:
    """`changes` are (whether it is removed, label)."""
    rng = np.random.default_rng(seed)
    index, kept = ItemIndex(8), dict(enumerate(unit(rng.normal(size=(n, 8)))))
    index.add(np.arange(n), np.array([kept[k] for k in range(n)]))
    for removes, label in changes:
        if removes and label in kept:
            index.remove(label)
            del kept[label]
        elif not removes:
            kept[label] = unit(rng.normal(size=(1, 8)))[0]
            index.add(np.array([label]), kept[label][None])
    assert len(index) == len(kept)
    vector = unit(rng.normal(size=(1, 8)))
    found = index.search(vector, len(kept))
    assert found is not None
    assert sorted(found[0]) == sorted(kept)
    scores = [float(kept[label] @ vector[0]) for label in found[0].tolist()]
    assert np.all(np.diff(scores) <= 1e-6)
