"""What the server logs of exploration slots, and what comes back from the stream."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from feature_repo import item_rows, views
from operators.bandit_counts import UNKNOWN
from operators.contract import Row
from operators.decay import POPULARITY_ORIGIN
from recommend.slots import ExplorationSlots
from schemas.clock import now_ms
from schemas.events import Impression, Item
from schemas.topics import ITEM_FEATURES, features_key
from tests.serving.made import Api, popular

ITEMS = [Item(f"i{k}", f"Title {k}", ["even" if k % 2 == 0 else "odd"]) for k in range(30)]
FEED = "/v1/users/u1/feed"


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, {f"i{k}": [1, k / 10, 0, 0] for k in range(30)})
    popular(api.services.catalogue, {f"i{k}": float(k) for k in range(30)})
    exploring = tuple(
        replace(each, exploration=ExplorationSlots(few=None)) if each.name == "home" else each
        for each in api.services.surfaces
    )
    object.__setattr__(api.services, "surfaces", exploring)
    api.services.__dict__.pop("personal", None)


def logged(api: Api) -> list[Impression]:
    api.run(api.services.impressions.stop())
    return [event for _, event in api.log.stored if isinstance(event, Impression)]


def row(api: Api, item: str, shown: float, taken: float) -> None:
    """Puts a row of the topic item_features, as the job writes it."""
    since = (now_ms() - POPULARITY_ORIGIN) / views.EXPLORED.half_life
    logs = [math.log2(count) + since if count else UNKNOWN for count in (shown, taken)]
    found = Row(views.item_exploration.name, (item,), (*logs, UNKNOWN, [], [], [], []))
    key = features_key(found.view, found.key).encode()
    api.services.catalogue.on_record(ITEM_FEATURES, key, item_rows.encode(found))


def explored(feed: dict[str, Any]) -> list[str]:
    return [entry["item_id"] for entry in feed["items"] if entry["reason"]["code"] == "exploration"]


def test_a_feed_marks_what_it_explored_and_logs_how_probable_it_was(api: Api) -> None:
    feed = api.get(FEED, n=10, explain="full").json()
    (shown,) = logged(api)
    (item,) = explored(feed)
    (record,) = [stage for stage in feed["trace"] if stage["stage"] == "exploration"]
    assert shown.explored == [5]
    assert shown.items[5] == item
    assert record["explored"] == {item: pytest.approx(0.1)}, "ten arms of which nothing is known"
    assert shown.propensities == [1, 1, 1, 1, 1, pytest.approx(0.1), 1, 1, 1, 1]
    assert (shown.contexts, shown.context_id) == (None, None)
    assert 'freshet_explored_total{surface="home"} 1.0' in api.get("/metrics").text


@pytest.mark.parametrize("query", [{"dry_run": True}, {"n": 5}, {"diversity": 0}])
def test_what_is_not_logged_or_too_short_explores_nothing(api: Api, query: dict[str, Any]) -> None:
    feed = api.get(FEED, **({"n": 10} | query)).json()
    assert explored(feed) == []
    assert all(shown.explored is None and shown.propensities is None for shown in logged(api))


def test_people_without_consent_are_not_explored_with(api: Api) -> None:
    api.post("/v1/users", {"user_id": "u1", "consent": False})
    assert explored(api.get(FEED, n=10).json()) == []


def test_what_was_taken_is_drawn_more_often_once_its_row_is_there(api: Api) -> None:
    first = api.get(FEED, n=10).json()
    arm = explored(first)[0]
    for item in ITEMS:
        row(api, item.item_id, 400, 0)
    row(api, arm, 400, 300)
    assert api.services.catalogue.refused == 0
    drawn = [explored(api.get(FEED, n=10).json())[0] for _ in range(40)]
    assert drawn.count(arm) > 30


def test_a_model_that_has_ended_is_dropped(api: Api) -> None:
    arms = api.services.catalogue.columns.arms
    for values in ((now_ms(), 2.0, [2.0, 0, 0, 2.0], [1.0, 0]), (0, 0.0, [], [])):
        found = Row(views.policy_model.name, ("home/basic1/2",), values)
        api.services.catalogue.on_record(ITEM_FEATURES, b"k", item_rows.encode(found))
        assert (arms.model("home/basic1/2", now_ms()) is not None) == bool(values[2])
    assert api.services.catalogue.refused == 0


def test_a_model_of_a_policy_is_no_item(api: Api) -> None:
    found = Row(views.policy_model.name, ("home/basic1/2",), (now_ms(), 2.0, [2.0, 0, 0, 2.0], [1.0, 0]))
    n = api.services.catalogue.columns.n
    api.services.catalogue.on_record(ITEM_FEATURES, b"k", item_rows.encode(found))
    arms = api.services.catalogue.columns.arms
    sums = arms.model("home/basic1/2", now_ms())
    assert sums is not None
    assert sums.gram.tolist() == [[pytest.approx(2, rel=0.001), 0], [0, pytest.approx(2, rel=0.001)]]
    assert arms.model("home/basic1/3", now_ms()) is None
    assert api.services.catalogue.columns.n == n
    assert "freshet_policy_models_dropped 0.0" in api.get("/metrics").text
    for at in range(256):
        found = Row(views.policy_model.name, (f"posted{at}/c/1",), (now_ms() + at, 1.0, [1.0], [1.0]))
        api.services.catalogue.on_record(ITEM_FEATURES, b"k", item_rows.encode(found))
    assert "freshet_policy_models_dropped 1.0" in api.get("/metrics").text


# -- pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [FEED, "/v1/users/u1/page"])
def test_an_item_with_several_pictures_is_shown_with_the_one_that_is_logged(api: Api, path: str) -> None:
    for item in ITEMS[10:]:
        images = {"images": ["red.jpg", "blue.jpg"]}
        api.services.catalogue.put_item(Item(item.item_id, item.title, item.categories, attributes=images))
    answer = api.get(path).json()
    entries = [entry for row in answer.get("rows", [answer]) for entry in row["items"]]
    said = {entry["item_id"]: entry.get("image") for entry in entries}
    assert {image for item, image in said.items() if int(item[1:]) >= 10} == {"red.jpg", "blue.jpg"}
    assert {image for item, image in said.items() if int(item[1:]) < 10} <= {None}
    found = logged(api)
    for shown in found:
        images_shown = shown.images or [None] * len(shown.items)
        assert images_shown == [said[item] for item in shown.items]
    assert any(shown.images for shown in found)


@pytest.mark.parametrize("path", [FEED, "/v1/users/u1/page"])
def test_where_pictures_cannot_be_chosen_the_items_are_shown_without(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for item in ITEMS:
        api.services.catalogue.put_item(Item(item.item_id, item.title, attributes={"images": ["red.jpg", "blue.jpg"]}))
    monkeypatch.setattr(api.services.catalogue.columns.arms, "pictures", None)
    answer = api.get(path).json()
    entries = [entry for row in answer.get("rows", [answer]) for entry in row["items"]]
    assert entries
    assert not any("image" in entry for entry in entries)
    assert answer["degraded"] == ["explain"]
    assert {shown.images for shown in logged(api)} == {None}


def test_a_catalogue_without_pictures_logs_none(api: Api) -> None:
    feed = api.get(FEED, n=10).json()
    assert not any("image" in entry for entry in feed["items"])
    assert [shown.images for shown in logged(api)] == [None]
