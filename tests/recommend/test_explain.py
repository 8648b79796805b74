"""Every reason is true of the person and the item."""

from __future__ import annotations

from typing import Any

import pytest

from operators.time import DAY
from recommend.stage import Reason
from recommend.surfaces import home
from schemas.events import Item
from tests.serving.made import NOW, catalogue, person, pipeline, popular

OLD = NOW - 400 * DAY
ITEMS = [
    Item("near", "Near", ["comedy"], created_at=OLD),
    Item("also", "Also near", ["comedy"], created_at=OLD),
    Item("far", "Far", ["drama"], created_at=OLD),
    Item("fresh", "Fresh", ["horror"], created_at=NOW - DAY),
    Item("bare"),
]
VECTORS = {
    "near": [1, 0.1, 0, 0], "also": [1, -0.1, 0, 0], "far": [0, 1, 0, 0], "fresh": [0, 0, 1, 0], "bare": [0, 0, 0, 1],
}  # fmt: skip


def reasons(recent: list[tuple[str, str]] = (), region: str = "", **row: Any) -> dict[str, Reason]:  # type: ignore[assignment]
    made = catalogue(ITEMS, VECTORS, content={"category:comedy": [1, 0, 0, 0]})
    popular(made, {"far": 1.0}, "DE")
    user = person(recent, vector_space="space-v1", **row)
    asked = pipeline(made)
    answer = asked.recommend(home, asked.query(at=NOW, user=user, region=region))
    assert answer.degraded == []
    return {item_id: reason for item_id, reason in zip(answer.item_ids, answer.reasons, strict=True) if reason}


@pytest.mark.parametrize(
    ("kind", "verb"),
    [("click", "clicked"), ("purchase", "bought"), ("like", "liked"), ("play", "watched"), ("rating", "rated")],
)
def test_because_of_an_item(kind: str, verb: str) -> None:
    found = reasons([(kind, "near")], vector=[1.0, 0.1, 0, 0])
    assert found["also"] == Reason("because_item", f"Because you {verb} Near", "near")


def test_an_item_without_a_title_goes_by_its_id() -> None:
    found = reasons([("click", "bare")], vector=[0.0, 0, 0, 1.0])
    assert found["bare"] == Reason("because_item", "Because you clicked bare", "bare")


def test_of_several_it_is_the_one_that_pulls() -> None:
    found = reasons([("view", "far"), ("purchase", "near")], vector=[1.0, 0.2, 0, 0])
    assert found["also"].item_id == "near"


def test_a_disliked_item_is_no_reason() -> None:
    found = reasons([("dislike", "near"), ("click", "near")], vector=[1.0, 0.1, 0, 0])
    assert "because_item" not in {reason.code for reason in found.values()}


def test_what_is_not_related_says_less() -> None:
    assert reasons([("click", "near")], vector=[1.0, 0.1, 0, 0])["far"] == Reason("popular", "Popular now")


def test_an_item_that_was_rated_low_is_no_reason() -> None:
    for taste, given in ((-1.8, False), (0.0, False), (1.8, True)):
        found = reasons([("rating", "near")], recent_tastes=[taste], vector=[1.0, 0.1, 0, 0])
        assert ("because_item" in {reason.code for reason in found.values()}) == given


def test_because_of_a_category() -> None:
    found = reasons(
        vector=[0.9, 0.3, 0, 0], category_affinity=["comedy", "drama"], category_affinity_scores=[0.6, 0.01]
    )
    assert found["also"] == Reason("because_category", "Because you like comedy")
    assert found["far"].code == "popular", "a share of 0.01 is not liking"


def test_because_of_a_stated_interest() -> None:
    assert reasons(interests=["Comedy"])["near"] == Reason("because_category", "Because you like comedy")


def test_new() -> None:
    assert reasons()["fresh"] == Reason("new", "New in horror")


def test_popular_in_the_region_and_everywhere() -> None:
    found = reasons(region="DE")
    assert found["far"] == Reason("popular_in_region", "Popular in your area")
    assert found["bare"] == Reason("popular", "Popular now")
