"""POST /v1/rank: the caller's own list."""

from __future__ import annotations

from typing import Any

import pytest

from recommend.surfaces.rank import MOST
from schemas.clock import now_ms
from schemas.events import Impression, Item
from tests.serving.made import Api

ITEMS = [Item(f"i{k}", f"Title {k}", ["even" if k % 2 == 0 else "odd"], price=k, available=k != 3) for k in range(12)]
VECTORS = {f"i{k}": [1, k / 4, 0, 0] for k in range(12)}


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, VECTORS)


def rank(api: Api, items: list[str], user_id: str | None = "u1", **query: Any) -> dict[str, Any]:
    answer = api.post("/v1/rank", {"items": items, "user_id": user_id}, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def click(api: Api, item_id: str) -> str:
    event = {"event_id": item_id, "event_type": "click", "user_id": "u1", "item_id": item_id, "timestamp": now_ms()}
    return api.post("/v1/events", event).json()["token"]  # type: ignore[no-any-return]


def test_a_list_is_ranked_as_the_feed_ranks(api: Api) -> None:
    token = click(api, "i5")
    found = rank(api, ["i0", "i11", "i6", "i4"], after=token)
    scores = [entry["score"] for entry in found["items"]]
    assert scores == sorted(scores, reverse=True)
    assert {entry["item_id"] for entry in found["items"][:2]} == {"i4", "i6"}
    assert [entry["rank"] for entry in found["items"]] == [0, 1, 2, 3]
    assert found["items"][0]["item"]["title"]
    feed = {e["item_id"]: e["score"] for e in api.get("/v1/users/u1/feed", n=20).json()["items"]}
    assert {e["item_id"]: e["score"] for e in found["items"]} == pytest.approx(
        {k: feed[k] for k in ("i0", "i11", "i6", "i4")}
    )
    assert (found["surface"], found["user_id"], found["next"], found["degraded"]) == ("rank", "u1", None, [])
    assert found["freshness"]["caught_up"]


def test_filters_mark_items_and_remove_none(api: Api) -> None:
    click(api, "i5")
    found = rank(api, ["i3", "i5", "i2", "i9"], filter="item.price < 6")
    marks = {entry["item_id"]: entry["removed_by"] for entry in found["items"]}
    assert marks == {"i3": ["unavailable"], "i5": ["seen"], "i2": [], "i9": ["filter"]}


def test_unknown_ids_are_named_and_each_id_counts_once(api: Api) -> None:
    found = rank(api, ["i1", "what", "i1", "else", "what"])
    assert [entry["item_id"] for entry in found["items"]] == ["i1"]
    assert found["unknown_items"] == ["what", "else"]
    assert rank(api, ["what"])["items"] == []


def test_without_a_person_it_is_a_strangers(api: Api) -> None:
    found = rank(api, ["i1", "i2"], None)
    assert (found["user_id"], found["freshness"], len(found["items"])) == (None, None, 2)


def test_nothing_is_logged_as_shown(api: Api) -> None:
    rank(api, ["i1", "i2"])
    api.run(api.services.impressions.stop())
    assert [event for _, event in api.log.stored if isinstance(event, Impression)] == []


def test_a_thousand_items(api: Api) -> None:
    more = [Item(f"m{k}") for k in range(MOST)]
    api.stock(more, {item.item_id: [1, 0, k / 9, 0] for k, item in enumerate(more)}, version="v2")
    found = rank(api, [item.item_id for item in more])
    assert (len(found["items"]), found["next"]) == (MOST, None)
    answer = api.post("/v1/rank", {"items": [*(item.item_id for item in more), "i1"]})
    assert answer.json()["errors"][0]["name"] == "items"


def test_a_full_explanation(api: Api) -> None:
    found = rank(api, ["i1", "i2"], explain="full")
    assert found["items"][0]["detail"]["sources"] == ["given"]
    assert found["items"][0]["detail"]["features"]
    assert [s["stage"] for s in found["trace"]][:2] == ["given", "unavailable"]


def test_while_the_store_is_away_a_list_is_ranked_as_a_strangers(api: Api) -> None:
    api.rows.error = ConnectionError("refused")
    found = rank(api, ["i1", "i2"])
    assert (len(found["items"]), found["degraded"]) == (2, ["hydrate"])


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({}, "items", "is required"),
        ({"items": []}, "items", "length >= 1"),
        ({"items": ["a", 3]}, "items[1]", "str"),
        ({"items": ["a"], "n": 3}, "n", "is not a field of a list to rank"),
    ],
)
def test_a_wrong_body_is_refused_and_its_field_named(api: Api, body: Any, field: str, detail: str) -> None:
    answer = api.post("/v1/rank", body)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["name"] == field
    assert detail in fault["detail"]


def test_the_objective_is_one_of_the_home_feeds_ranker(api: Api) -> None:
    assert rank(api, ["i1", "i2"], objective="score:-1")["items"]
    answer = api.post("/v1/rank", {"items": ["i1"]}, params={"objective": "buy:1"})
    assert answer.json()["errors"][0]["name"] == "objective"
