"""What other people liked lately, against a plain reading of their interactions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.time import HOUR
from recommend.favourites import HALF_LIFE, LATELY, LIKED, favourites, likes
from schemas.events import Item
from tests.serving.made import NOW, catalogue

ITEMS = [Item(f"i{k}") for k in range(6)]
OF = catalogue(ITEMS)


def person(*recents: tuple[str, float, int]) -> dict[str, Any]:
    """(item, taste, age in hours), newest first."""
    return {
        "recent_items": [item for item, _, _ in recents],
        "recent_tastes": [taste for _, taste, _ in recents],
        "recent_times": [NOW - age * HOUR for _, _, age in recents],
    }


def found(*people: tuple[dict[str, Any], float]) -> dict[str, tuple[float, int]]:
    made = favourites(OF.columns, [(likes(row), weight) for row, weight in people], NOW)
    assert sorted(made.scores, reverse=True) == list(made.scores), "best first"
    ids = [OF.columns.ids[row] for row in made.rows]
    return {item: (float(score), int(n)) for item, score, n in zip(ids, made.scores, made.counts, strict=True)}


def test_recency_and_the_number_of_people_count() -> None:
    a, b = person(("i0", 3.0, 0), ("i1", 3.0, 14 * 24)), person(("i1", 3.0, 14 * 24), ("i2", 2.0, 0))
    assert found((a, 1.0), (b, 1.0)) == {
        "i0": (1.0, 1), "i1": (pytest.approx(1.0), 2), "i2": (1.0, 1),
    }  # fmt: skip


def test_a_person_counts_once_for_an_item_and_by_their_weight() -> None:
    assert found((person(("i0", 3.0, 0), ("i0", 3.0, 24)), 0.5)) == {"i0": (0.5, 1)}


def test_what_was_turned_down_since_is_no_favourite_and_what_was_viewed_since_is() -> None:
    assert found((person(("i0", -3.0, 0), ("i0", 3.0, 1)), 1.0)) == {}
    assert list(found((person(("i0", 0.5, 0), ("i0", 3.0, 1)), 1.0))) == ["i0"]
    assert list(found((person(("i0", 3.0, 0), ("i0", -3.0, 1)), 1.0))) == ["i0"]


def test_old_and_unknown_items_do_not_count() -> None:
    age = LATELY // HOUR + 1
    assert found((person(("i0", 3.0, age), ("absent", 3.0, 0), ("i1", 1.0, 0)), 1.0)) == {}


recents = st.lists(
    st.tuples(
        st.sampled_from([i.item_id for i in ITEMS]), st.sampled_from([-3.0, 0.0, 1.0, 2.0, 3.0]), st.integers(0, 3000)
    ),
    max_size=12,
).map(lambda given: sorted(given, key=lambda each: each[2]))


@given(st.lists(st.tuples(recents, st.floats(0.1, 1.0)), max_size=5))
def test_a_plain_reading(people: list[Any]) -> None:
    expected: dict[str, float] = {}
    for rows, weight in people:
        for item in {item for item, _, _ in rows}:
            said = [(taste, age) for i, taste, age in rows if i == item and (taste >= LIKED or taste < 0)]
            if said and said[0][0] > 0 and said[0][1] * HOUR <= LATELY:
                expected[item] = expected.get(item, 0) + weight * 2 ** (-said[0][1] * HOUR / HALF_LIFE)
    made = found(*((person(*rows), weight) for rows, weight in people))
    assert {item: score for item, (score, _) in made.items()} == pytest.approx(expected, rel=1e-5)
