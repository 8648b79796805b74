"""Embedding spaces: trained vectors, and vectors from what an item is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from msgspec import structs

from operators.space import MAX_TOKENS, BundleSpace, EmptySpace, tokens
from schemas import bundle
from schemas.events import Item
from tests.bundles import write_bundle
from tests.schemas import strategies

CONTENT = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
CATALOGUE = {
    "new": Item("new", categories=["Comedy", "drama"]),
    "opposite": Item("opposite", categories=["comedy"], brand="X"),
    "unheard": Item("unheard", "Nothing known"),
}


def space() -> BundleSpace:
    trained = np.array([[0.6, 0.8], [0, -1]], np.float32)
    names = ["category:comedy", "category:drama", "brand:x"]
    return BundleSpace("s1", ["i0", "i1"], trained, names, CONTENT, CATALOGUE.get)


def test_what_an_item_is_made_of() -> None:
    item = Item(
        "i1", "The Third Man (1949): A 2nd Man", ["Film-Noir"], "London Films", 9.99,
        attributes={"year": 1949, "actors": ["Orson Welles", "orson welles"], "colour": False},
    )  # fmt: skip
    assert tokens(item) == [
        "category:film-noir", "brand:london films", "word:the", "word:third", "word:man", "word:1949", "word:2nd",
        "year:1949", "actors:orson welles", "colour:false",
    ]  # fmt: skip


@given(strategies.items)
def test_tokens_are_distinct_and_few_whatever_the_item(item: Item) -> None:
    found = tokens(item)
    assert len(set(found)) == len(found) <= MAX_TOKENS


def test_tokens_are_blind_to_case_and_bounded() -> None:
    shouted = Item("i1", "HEAT", ["DRAMA"], attributes={"n": [str(n) for n in range(256)]})
    assert tokens(shouted) == tokens(structs.replace(shouted, title="Heat", categories=["drama"]))
    assert len(tokens(shouted)) == MAX_TOKENS


def test_a_trained_item_has_its_own_vector() -> None:
    np.testing.assert_array_equal(space().vector("i0"), np.array([0.6, 0.8], np.float32))
    assert (space().id, space().dim) == ("s1", 2)


def test_a_new_item_has_the_direction_of_its_tokens() -> None:
    found = space().vector("new")
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.sqrt([0.5, 0.5]), atol=1e-6)


@pytest.mark.parametrize("item", ["nowhere", "unheard", "opposite"])
def test_an_item_of_which_nothing_is_known_has_none(item: str) -> None:
    """Tokens that cancel out leave no direction either."""
    assert space().vector(item) is None


def test_a_bag_of_tokens() -> None:
    np.testing.assert_allclose(space().tokens_vector(["category:drama", "never heard of"]), [0, 1])
    assert space().tokens_vector([]) is None


def test_the_space_of_a_bundle(tmp_path: Path) -> None:
    write_bundle(tmp_path, ["i1", "i2"], dim=4, version="one")
    found = bundle.current(tmp_path)
    assert found is not None
    made = BundleSpace.of(found, {"new": Item("new", categories=["c1"])}.get)
    assert (made.id, made.dim) == ("space-0", 4)
    np.testing.assert_array_equal(made.vector("i2"), found.array("vectors")[1])
    np.testing.assert_allclose(made.vector("new"), found.array("content")[1], atol=1e-6)


def test_before_the_first_bundle_every_vector_is_unknown() -> None:
    assert (EmptySpace().id, EmptySpace().dim, EmptySpace().vector("i1")) == ("", 0, None)
