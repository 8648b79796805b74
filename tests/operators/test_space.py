"""Embedding spaces: trained vectors, and vectors from what an item is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from msgspec import structs

from operators.space import MAX_TOKENS, UNKNOWN_SHARE, BundleSpace, Content, EmptySpace, hashed, origin, tokens
from schemas import bundle
from schemas.events import Item
from tests.bundles import write_bundle
from tests.schemas import strategies

CONTENT = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
CATALOGUE = {
    "new": Item("new", categories=["Comedy", "drama"]),
    "opposite": Item("opposite", categories=["comedy"], brand="X"),
    "unheard": Item("unheard", "Nothing known"),
    "bare": Item("bare"),
}


def space() -> BundleSpace:
    trained = np.array([[0.6, 0.8], [0, -1]], np.float32)
    names = ["category:comedy", "category:drama", "brand:x"]
    return BundleSpace("s1", ["i0", "i1"], trained, Content(names, CONTENT, 2), CATALOGUE.get)


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


@pytest.mark.parametrize("item", ["nowhere", "bare", "opposite"])
def test_an_item_of_which_nothing_is_known_has_none(item: str) -> None:
    """Tokens that cancel out leave no direction either."""
    assert space().vector(item) is None


def test_a_bag_of_tokens() -> None:
    np.testing.assert_allclose(space().content.bag(["category:drama"]), [0, 1])
    assert space().content.bag([]) is None


def test_the_space_of_a_bundle(tmp_path: Path) -> None:
    write_bundle(tmp_path, ["i1", "i2"], dim=4, version="one")
    found = bundle.current(tmp_path)
    assert found is not None
    made = BundleSpace.of(found, {"new": Item("new", categories=["c1"])}.get)
    assert (made.id, made.dim) == ("space-0", 4)
    np.testing.assert_array_equal(made.vector("i2"), found.space().vectors[1])
    np.testing.assert_allclose(made.vector("new"), found.space().content[1], atol=1e-6)


def test_before_the_first_bundle_every_vector_is_unknown() -> None:
    assert (EmptySpace().id, EmptySpace().dim, EmptySpace().vector("i1")) == ("", 0, None)


# -- tokens that training has not met ----------------------------------------------------------------

DIM = 64
PINNED = [0.794679, 0.48503, -0.343794, -0.122623]
LEARNED = Content(["category:comedy", "word:the"], np.eye(2, DIM, dtype=np.float32), DIM)


def test_a_hashed_vector_is_the_tokens_own_everywhere() -> None:
    assert hashed("category:opera", 4).tolist() == pytest.approx(PINNED, abs=1e-6)
    assert hashed("category:opera", DIM).dtype == np.float32
    names = [f"word:w{n}" for n in range(300)]
    vectors = np.array([hashed(name, DIM) for name in names])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T - np.eye(300)
    assert abs(float(cosines.mean())) < 0.01
    assert float(np.abs(cosines).max()) < 0.7


def test_a_hashed_vector_is_made_once_and_cannot_be_changed() -> None:
    """Most of what a new item's unknown words cost is making their vectors; many items have the same ones."""
    found = hashed("word:once", DIM)
    assert hashed("word:once", DIM) is found
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1.0


def test_items_of_a_category_that_training_has_not_met_are_near_one_another() -> None:
    one, two = (LEARNED.bag(tokens(Item(i, "", ["Opera"]))) for i in ("one", "two"))
    other = LEARNED.bag(tokens(Item("other", "", ["Ballet"])))
    assert one is not None
    assert two is not None
    assert other is not None
    assert float(one @ two) == pytest.approx(1, abs=1e-6)
    assert abs(float(one @ other)) < 0.5
    assert float(one @ LEARNED.bag(["category:opera"])) == pytest.approx(1, abs=1e-6)  # type: ignore[arg-type]


def test_known_tokens_dominate_unknown_ones() -> None:
    known = LEARNED.bag(tokens(Item("a", "", ["comedy"])))
    mixed = LEARNED.bag(tokens(Item("b", "Unheard of words by the dozen", ["comedy", "opera"])))
    assert known is not None
    assert mixed is not None
    assert float(np.linalg.norm(mixed)) == pytest.approx(1, abs=1e-6)
    both_genres = LEARNED.bag(tokens(Item("c", "", ["comedy", "opera"])))
    assert float(both_genres @ known) > 1 / np.hypot(1, UNKNOWN_SHARE) - 0.1  # type: ignore[operator]
    both = LEARNED.bag(["category:comedy", "word:the"])
    assert float(mixed @ both) > 0.85  # type: ignore[operator]


def test_a_token_that_training_learned_nothing_of_is_unknown() -> None:
    """Its vector is zero where no item with events has it."""
    content = Content(["category:a", "category:b"], np.array([[1, 0], [0, 0]], np.float32), 2)
    np.testing.assert_allclose(content.bag(["category:b"]), hashed("category:b", 2), atol=1e-6)


def test_a_search_of_unknown_words_has_no_vector() -> None:
    assert LEARNED.text("quantum gadgets") is None
    np.testing.assert_array_equal(LEARNED.text("the quantum"), np.eye(2, DIM, dtype=np.float32)[1])


def test_an_edited_item_moves_unless_behaviour_is_part_of_its_vector() -> None:
    entries = {i: Item(i, "", ["comedy"]) for i in ("learned", "by_content", "joined")}
    made = origin(tokens(entries["by_content"]))
    vectors = np.array([[0.6, 0.8], [1, 0]], np.float32)
    content = Content(["category:comedy", "category:drama"], np.eye(2, dtype=np.float32), 2)
    found = BundleSpace("s1", ["learned", "by_content"], vectors, content, entries.get, np.array([0, made], np.uint64))
    for item_id, vector in (("learned", [0.6, 0.8]), ("by_content", [1, 0]), ("joined", [1, 0])):
        for _ in range(2):
            np.testing.assert_allclose(found.vector(item_id), vector)
    entries |= {i: Item(i, "", ["drama"]) for i in entries}
    for item_id, vector in (("learned", [0.6, 0.8]), ("by_content", [0, 1]), ("joined", [0, 1])):
        np.testing.assert_allclose(found.vector(item_id), vector)
    entries.clear()
    np.testing.assert_allclose(found.vector("by_content"), [1, 0], err_msg="no entry says otherwise")
    assert found.vector("joined") is None
