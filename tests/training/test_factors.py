"""Item vectors: genres apart, new items among their peers, any size of log."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.events import EventType, Interaction, Item
from training import factors
from training.accepted import Log

T = 1_767_225_600_000


def test_vectors_are_unit_rows_and_a_seed_decides_them(log: Log) -> None:
    one, two = (factors.fit(log.interactions, log.items, 16, seed=3) for _ in range(2))
    assert one.vectors.shape == (60, 16)
    assert one.vectors.dtype == one.content.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1, atol=1e-5)
    assert one.id == two.id
    assert one.id != factors.fit(log.interactions[:-50], log.items, 16, seed=3).id


def test_a_new_item_stands_among_its_genre(log: Log) -> None:
    space = factors.fit(log.interactions, log.items, 16)
    vector = space.of_content.bag(["category:horror"])
    assert vector is not None
    near = space.vectors @ vector
    horror = np.array([int(i[1:]) % 3 == 2 for i in space.item_ids])
    assert near[horror].mean() > near[~horror].mean() + 0.3


def test_an_item_without_events_gets_its_tokens_place(log: Log) -> None:
    space = factors.fit(log.interactions, [*log.items, Item("new", "", ["comedy"])], 16)
    by_content = space.of_content.bag(["category:comedy"])
    assert by_content is not None
    np.testing.assert_allclose(space.vectors[space.item_ids.index("new")], by_content, atol=1e-5)


def test_an_item_of_which_nothing_is_known_has_no_row() -> None:
    assert factors.fit([], [Item("a", "Alien"), Item("b")], 8).item_ids == ["a"]


def test_an_item_known_by_events_alone_has_one(log: Log) -> None:
    assert len(factors.fit(log.interactions, [], 8).item_ids) == 60


@pytest.mark.parametrize(("stars", "weight"), [(5, 3.0), (1, -1.8), (2.5, 0.0)])
def test_taste_is_that_of_the_stream(stars: float, weight: float) -> None:
    event = Interaction("e", "rating", "u", T, "i", properties={"rating": stars})
    assert factors.taste(event) == pytest.approx(weight)


def test_the_strongest_of_repeated_events_counts() -> None:
    kinds: tuple[EventType, ...] = ("view", "purchase", "click")
    events = [Interaction(str(k), kind, "u", T, "i") for k, kind in enumerate(kinds)]
    matrix, items = factors.met([*events, Interaction("s", "search", "u", T)])
    assert items == ["i"]
    assert matrix.toarray().tolist() == [[3.0]]
