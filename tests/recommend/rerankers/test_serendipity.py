"""Serendipity: how far from what the person has met."""

from __future__ import annotations

import numpy as np
import pytest

from recommend.rerankers import Serendipity
from recommend.rerankers.serendipity import surprise
from schemas.events import Item
from tests.recommend.rerankers.made import candidates_of, ordered
from tests.serving.made import person

ITEMS = [Item(f"i{k}") for k in range(5)]
VECTORS = [[1, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0]]
LIKES_0 = person([("like", "i0")])


def test_surprise_is_the_distance_to_the_nearest() -> None:
    query, candidates = candidates_of(ITEMS, [5, 4, 3, 2, 1], VECTORS, user=LIKES_0)
    assert surprise(query, candidates.rows) == pytest.approx([0, 0.2, 0.5, 1, 0], abs=1e-6)
    query, candidates = candidates_of(ITEMS, [5, 4, 3, 2, 1], VECTORS, user=person([("like", "i0"), ("click", "i2")]))
    assert surprise(query, candidates.rows) == pytest.approx([0, 0.1, 0, 0.5, 0], abs=1e-6)


def test_the_far_ones_come_first_at_1_and_the_relevant_ones_at_0() -> None:
    query, candidates = candidates_of(ITEMS, [5, 4, 3, 2, 1], VECTORS, user=LIKES_0, n=5)
    assert ordered(Serendipity(diversity=1), query, candidates) == ["i3", "i2", "i1", "i0", "i4"]
    assert ordered(Serendipity(diversity=0), query, candidates) == ["i0", "i1", "i2", "i3", "i4"]
    # (1 - d) * relevance + d * surprise at a half: 0.5, 0.475, 0.5, 0.625, 0
    assert ordered(Serendipity(diversity=0.5), query, candidates) == ["i3", "i0", "i2", "i1", "i4"]


def test_it_does_not_apply_to_a_person_who_was_drawn_to_nothing() -> None:
    for user in (person(), person([("dislike", "i0")])):
        query, _ = candidates_of(ITEMS, [5, 4, 3, 2, 1], VECTORS, user=user, diversity=1.0)
        assert not Serendipity(diversity=0.5).applies(query)


def test_anchors_without_a_vector_say_nothing() -> None:
    query, candidates = candidates_of(ITEMS, [5, 4, 3, 2, 1], VECTORS, user=person([("like", "i4")]))
    assert surprise(query, candidates.rows).tolist() == [0, 0, 0, 0, 0]
    query, candidates = candidates_of(ITEMS, [5, 4, 3, 2, 1], VECTORS, user=person([("like", "i4"), ("like", "i3")]))
    assert np.argmax(surprise(query, candidates.rows)) == 0
