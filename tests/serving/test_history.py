"""What a person met, may buy again, and which segments they are of, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from operators.time import DAY
from schemas.clock import now_ms
from schemas.events import Item
from tests.serving.made import Api, person

ITEMS = [Item(f"i{k}", f"Title {k}", [f"C{k % 2}"], brand=f"b{k % 3}", price=float(k)) for k in range(8)]


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, {f"i{k}": [1, k, 0, 0] for k in range(8)})


def row_of(api: Api, *recent: tuple[str, str, float], **values: Any) -> None:
    """The store's row of u1; (event type, item, days ago), newest first."""
    row = person([(kind, item) for kind, item, _ in recent], **values)
    row["recent_times"] = [round(now_ms() - days * DAY) for _, _, days in recent]
    api.rows.of["u1"] = row


def feedback(api: Api, control: str, **others: Any) -> None:
    event = {"event_id": control, "event_type": "feedback", "user_id": "u1", "timestamp": now_ms()}
    said = {"control": control, **{k: v for k, v in others.items() if k != "item_id"}}
    item = {"item_id": others["item_id"]} if "item_id" in others else {}
    assert api.post("/v1/events", {**event, **item, "properties": said}).status_code == 202


def test_recent_items_newest_first_each_once(api: Api) -> None:
    row_of(api, ("click", "i1", 1), ("play", "i2", 2), ("view", "i1", 3), ("like", "gone", 4))
    found = api.get("/v1/users/u1/recent").json()
    assert [(e["item_id"], e["event_type"], e["times"]) for e in found["items"]] == [
        ("i1", "click", 2), ("i2", "play", 1), ("gone", "like", 1),
    ]  # fmt: skip
    assert found["items"][0]["item"]["title"] == "Title 1"
    assert found["items"][2]["item"] is None
    assert found["items"][0]["timestamp"] > found["items"][1]["timestamp"]
    assert len(api.get("/v1/users/u1/recent", n=1).json()["items"]) == 1
    assert api.get("/v1/users/u1/recent", n=51).status_code == 422


def test_what_just_happened_is_recent(api: Api) -> None:
    event = {"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i3", "timestamp": now_ms()}
    token = api.post("/v1/events", event).json()["token"]
    found = api.get("/v1/users/u1/recent", after=token).json()
    assert [e["item_id"] for e in found["items"]] == ["i3"]
    assert found["freshness"]["caught_up"]


def test_what_a_person_hides_or_refuses_is_left_out(api: Api) -> None:
    for k, item in enumerate(("i1", "i2", "i3")):
        event = {"event_id": f"e{k}", "event_type": "click", "user_id": "u1", "item_id": item, "timestamp": now_ms()}
        api.post("/v1/events", event)
    feedback(api, "hide", item_id="i1")
    feedback(api, "not_category", category="C0")
    assert [e["item_id"] for e in api.get("/v1/users/u1/recent").json()["items"]] == ["i3"]


def test_items_that_are_due(api: Api) -> None:
    row_of(
        api, ("purchase", "i1", 10), ("purchase", "i1", 20), ("purchase", "i1", 30), ("purchase", "i2", 29),
        ("purchase", "i4", 1),
    )  # fmt: skip
    found = api.get("/v1/users/u1/again").json()
    assert [(e["item_id"], e["rank"], e["source"], e["purchases"]) for e in found["items"]] == [
        ("i2", 0, "category", 1), ("i1", 1, "item", 3),
    ]  # fmt: skip
    due = found["items"][1]
    assert due["interval_days"] == pytest.approx((50 / 3 + 20) / 3, abs=0.01)
    assert due["elapsed"] == pytest.approx(10 / due["interval_days"], abs=0.01)
    assert due["item"]["title"] == "Title 1"
    assert [e["item_id"] for e in api.get("/v1/users/u1/again", filter="item.price < 2").json()["items"]] == ["i1"]
    found = api.get("/v1/users/u1/again", exclude="i2,x").json()
    assert ([e["item_id"] for e in found["items"]], found["unknown_items"]) == (["i1"], ["x"])
    api.services.catalogue.put_item(Item("i1", available=False))
    assert [e["item_id"] for e in api.get("/v1/users/u1/again").json()["items"]] == ["i2"]


def test_segments_of_behaviour_and_of_what_is_stated(api: Api) -> None:
    row_of(
        api, ("click", "i1", 0), category_affinity=["C1", "C0", "C7"], category_affinity_scores=[0.5, 0.3, 0.2],
        brand_affinity=["b1"], brand_affinity_scores=[1.0], interests=["c1", "C9"], last_event_at=now_ms(),
    )  # fmt: skip
    found = api.get("/v1/users/u1/segments").json()
    assert [(e["name"], e["weight"], e["source"]) for e in found["categories"]] == [
        ("C1", 0.5, "both"), ("C0", 0.3, "behaviour"), ("C7", 0.2, "behaviour"), ("C9", 0.0, "stated"),
    ]  # fmt: skip
    assert [(e["name"], e["weight"], e["source"]) for e in found["brands"]] == [("b1", 1.0, "behaviour")]
    assert len(api.get("/v1/users/u1/segments", n=2).json()["categories"]) == 2


def test_refused_segments_are_left_out_and_asked_ones_are_there(api: Api) -> None:
    event = {"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i1", "timestamp": now_ms()}
    api.post("/v1/events", event)
    feedback(api, "not_category", category="C1")
    feedback(api, "more_brand", brand="b2")
    found = api.get("/v1/users/u1/segments").json()
    assert found["categories"] == []
    assert [(e["name"], e["source"]) for e in found["brands"]] == [("b1", "behaviour"), ("b2", "stated")]


@pytest.mark.parametrize("path", ["recent", "again", "segments"])
def test_without_consent_nothing_is_said(api: Api, path: str) -> None:
    row_of(
        api, ("purchase", "i1", 30), category_affinity=["C1"], category_affinity_scores=[1.0], interests=["C0"],
        consent=False,
    )  # fmt: skip
    found = api.get(f"/v1/users/u1/{path}").json()
    assert not any(found.get(name) for name in ("items", "categories", "brands"))
    assert found["freshness"]["last_event_at"] is None


@pytest.mark.parametrize("path", ["recent", "again", "segments"])
def test_the_store_may_be_away(api: Api, path: str) -> None:
    api.rows.error = ConnectionError("away")
    assert api.get(f"/v1/users/u1/{path}").json()["degraded"] == ["hydrate"]
