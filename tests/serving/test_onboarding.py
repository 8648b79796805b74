"""GET /v1/onboarding: what a new person is asked about, and what their answers do."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.clock import now_ms
from schemas.events import Item
from tests.serving.made import Api, popular

GENRES = ("comedy", "drama", "horror", "western")
ITEMS = [Item(f"i{k:02}", f"Film {k}", [GENRES[k % 4]], available=k != 1) for k in range(40)]
VECTORS = {
    item.item_id: [float(k % 4 == g) + 0.01 * (k // 4) * (g == 0) for g in range(4)] for k, item in enumerate(ITEMS)
}


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, VECTORS)
    popular(api.services.catalogue, {item.item_id: 20.0 - k / 100 for k, item in enumerate(ITEMS)})


def asked(api: Api, **query: Any) -> list[str]:
    answer = api.get("/v1/onboarding", **query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == []
    return [entry["item_id"] for entry in answer.json()["items"]]


def rate(api: Api, item_id: str, stars: float) -> None:
    event = {
        "event_id": f"e-{item_id}", "event_type": "rating", "user_id": "u1", "item_id": item_id,
        "timestamp": now_ms(), "properties": {"rating": stars},
    }  # fmt: skip
    assert api.post("/v1/events", event).status_code == 202


def test_twelve_items_of_different_tastes_and_none_that_is_not_available(api: Api) -> None:
    found = asked(api)
    assert len(found) == 12
    assert "i01" not in found
    assert {int(item_id[1:]) % 4 for item_id in found[:4]} == {0, 1, 2, 3}, "one of each direction first"
    assert asked(api, n=4, diversity=0) == ["i00", "i02", "i03", "i04"], "the most popular"


def test_an_unavailable_item_is_replaced_by_one_that_tells_as_much(api: Api) -> None:
    first, *_ = asked(api, n=4)
    twin = int(first[1:]) % 4
    found = asked(api, n=4, exclude=first)
    assert first not in found
    assert any(int(item_id[1:]) % 4 == twin for item_id in found)


def test_of_one_category_or_region_or_filter(api: Api) -> None:
    assert {int(item_id[1:]) % 4 for item_id in asked(api, category="horror")} == {2}
    assert asked(api, region="nowhere") == []
    assert {int(i[1:]) % 4 for i in asked(api, filter='"drama" in item.categories')} == {1}


def test_answers_are_events_and_what_was_answered_is_not_asked_again(api: Api) -> None:
    first = asked(api, n=4, user_id="u1")
    loved = next(item_id for item_id in first if int(item_id[1:]) % 4 == 3)
    rate(api, loved, 5.0)
    assert loved not in asked(api, n=12, user_id="u1")
    assert loved in asked(api, n=12)
    feed = api.get("/v1/users/u1/feed", n=5, explain="reason").json()["items"]
    assert int(feed[0]["item_id"][1:]) % 4 == 3
    assert feed[0]["reason"] == {
        "code": "because_item",
        "text": f"Because you rated Film {int(loved[1:])}",
        "item_id": loved,
    }


def test_pages_never_repeat(api: Api) -> None:
    first = api.get("/v1/onboarding", n=6).json()
    second = asked(api, n=6, next=first["next"])
    assert len(second) == 6
    assert not {*second} & {entry["item_id"] for entry in first["items"]}


def test_parameters_that_cannot_be_are_named(api: Api) -> None:
    answer = api.get("/v1/onboarding", n=0)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["name"] == "n"
    assert api.get("/v1/onboarding", categories="drama").status_code == 422
