"""Bought together and the cart, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from feature_repo import views
from operators.contract import Row
from schemas.clock import now_ms
from schemas.events import Impression, Item
from tests.recommend.test_together import ITEMS, SHARES, bought
from tests.serving.made import Api, popular


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, {item.item_id: [1, k, 0, 0] for k, item in enumerate(ITEMS)})
    bought(api.services.catalogue, SHARES)
    popular(api.services.catalogue, {"lamp": 9.0, "milk": 8.0})


def ids(answer: Any) -> list[str]:
    return [entry["item_id"] for entry in answer.json()["items"]]


def test_what_is_bought_together_with_an_item(api: Api) -> None:
    answer = api.get("/v1/items/pasta/bought-together", n=3)
    found = answer.json()
    assert answer.status_code == 200
    assert ids(answer) == ["sauce", "milk", "cheese"]
    assert (found["surface"], found["unknown_items"], found["degraded"]) == ("bought_together", [], [])
    assert found["items"][0]["reason"] == {
        "code": "bought_with", "text": "Often bought with Pasta", "item_id": "pasta"
    }  # fmt: skip
    assert found["items"][0]["item"]["title"] == "Tomato sauce"


def test_an_item_that_there_is_not(api: Api) -> None:
    answer = api.get("/v1/items/nothing/bought-together")
    assert answer.status_code == 404
    assert "'nothing'" in answer.json()["detail"]


def test_what_filters_removed_is_in_the_trace(api: Api) -> None:
    found = api.get("/v1/items/pasta/bought-together", n=3, explain="full").json()
    removed = {stage["stage"]: stage["removed"] for stage in found["trace"] if stage.get("removed")}
    assert removed == {"unavailable": 1, "near_duplicate": 1}


def test_a_cart_of_anybody(api: Api) -> None:
    answer = api.post("/v1/cart", {"items": ["pasta", "sauce", "pasta"]}, params={"n": 2})
    found = answer.json()
    assert answer.status_code == 200
    assert ids(answer) == ["cheese", "milk"]
    assert (found["user_id"], found["freshness"], found["unknown_items"]) == (None, None, [])
    assert len(api.services.impressions) == 0


def test_unknown_ids_are_named_and_the_others_answered(api: Api) -> None:
    found = api.post("/v1/cart", {"items": ["pasta", "what", "pasta", "what", "else"]}, params={"n": 1}).json()
    assert found["unknown_items"] == ["what", "else"]
    assert [entry["item_id"] for entry in found["items"]] == ["sauce"]


def test_a_cart_of_unknown_ids_alone_has_popular_items_and_says_so(api: Api) -> None:
    found = api.post("/v1/cart", {"items": ["what"]}, params={"n": 2}).json()
    assert [entry["item_id"] for entry in found["items"]] == ["lamp", "milk"]
    assert [entry["reason"]["code"] for entry in found["items"]] == ["popular", "popular"]
    assert found["degraded"] == ["retrieve"]


def test_a_cart_of_a_person_has_what_they_buy_and_is_logged_as_shown(api: Api) -> None:
    event = {
        "event_id": "e1", "event_type": "purchase", "user_id": "u1", "item_id": "lamp", "timestamp": now_ms() - 1000
    }  # fmt: skip
    assert api.post("/v1/events", event).status_code == 202
    answer = api.post("/v1/cart", {"items": ["pasta"], "user_id": "u1"}, params={"n": 3})
    found = answer.json()
    assert "lamp" in ids(answer)
    assert found["user_id"] == "u1"
    assert found["freshness"]["last_event_at"] == event["timestamp"]
    assert "lamp" not in ids(api.post("/v1/cart", {"items": ["pasta"]}, params={"n": 3}))
    api.run(api.services.impressions.stop())
    shown = [event for place, event in api.log.stored if isinstance(event, Impression)]
    assert [(each.request_id, each.user_id, each.surface, each.items) for each in shown] == [
        (found["request_id"], "u1", "cart", ids(answer))
    ]


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({}, "items", "is required"),
        ({"items": []}, "items", "length >= 1"),
        ({"items": ["a"] * 101}, "items", "length <= 100"),
        ({"items": "pasta"}, "items", "array"),
        ({"items": ["pasta", 3]}, "items[1]", "str"),
        ({"items": ["pasta", ""]}, "items[1]", "length >= 1"),
        ({"items": ["pasta"], "user": "u1"}, "user", "is not a field of a cart"),
        ({"items": ["pasta"], "user_id": "a\nb"}, "user_id", "control characters"),
        ([], "body", "object"),
    ],
)
def test_a_wrong_body_is_refused_and_its_field_named(api: Api, body: Any, field: str, detail: str) -> None:
    answer = api.post("/v1/cart", body)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["name"] == field
    assert detail in fault["detail"]


def test_a_wrong_parameter_is_refused_with_the_one_meant(api: Api) -> None:
    answer = api.post("/v1/cart", {"items": ["pasta"]}, params={"explian": "full"})
    assert answer.status_code == 422
    assert "did you mean explain?" in answer.json()["detail"]


def test_what_is_no_json_is_refused(api: Api) -> None:
    answer = api.ask("POST", "/v1/cart", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_a_new_row_of_an_item_moves_the_next_answer(api: Api) -> None:
    columns = api.services.catalogue.columns
    values = columns.baskets[columns.row_of["pasta"]], ["lamp"], [0.9]
    columns.put_features(Row(views.item_cooccurrence.name, ("pasta",), values))
    assert ids(api.get("/v1/items/pasta/bought-together", n=1)) == ["lamp"]


def test_items_without_a_title_are_named_by_their_ids(api: Api) -> None:
    api.stock([Item("x1"), Item("x2")])
    bought(api.services.catalogue, {"x1": (9.0, {"x2": 1.0})})
    found = api.get("/v1/items/x1/bought-together", n=1).json()
    assert found["items"][0]["reason"]["text"] == "Often bought with x1"
