"""The reading calls over HTTP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feature_repo.inputs import NAMES
from operators.decay import POPULARITY_ORIGIN
from schemas.clock import now_ms
from schemas.events import Impression, Item
from serving.feeds import POPULARITY
from tests.serving.made import Api, popular

ITEMS = [Item(f"i{k}", f"Title {k}", ["even" if k % 2 == 0 else "odd"], available=k != 3) for k in range(12)]
VECTORS = {f"i{k}": [1, k / 4, 0, 0] for k in range(12)}


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, VECTORS)
    popular(api.services.catalogue, {f"i{k}": float(k) for k in range(12)})
    popular(api.services.catalogue, {"i1": 5.0, "i2": 4.0}, "DE")


def ids(answer: Any) -> list[str]:
    return [entry["item_id"] for entry in answer.json()["items"]]


def click(api: Api, item_id: str, event_id: str = "e1", **others: Any) -> str:
    event = {"event_id": event_id, "event_type": "click", "user_id": "u1", "item_id": item_id, "timestamp": now_ms()}
    return api.post("/v1/events", event | others).json()["token"]  # type: ignore[no-any-return]


def test_a_feed(api: Api) -> None:
    answer = api.get("/v1/users/u1/feed", n=5, surface="cart", region="DE")
    feed = answer.json()
    assert answer.status_code == 200
    assert (feed["user_id"], feed["surface"], feed["model_version"], feed["degraded"]) == ("u1", "cart", "v1", [])
    assert [entry["rank"] for entry in feed["items"]] == [0, 1, 2, 3, 4]
    assert all(entry["item"]["title"] == f"Title {entry['item_id'][1:]}" for entry in feed["items"])
    assert all(entry["reason"]["text"] for entry in feed["items"])
    assert set(feed["timings_ms"]) == {"hydrate", "retrieve", "filter", "rank", "rerank", "explain", "total"}
    assert feed["timings_ms"]["total"] >= max(v for k, v in feed["timings_ms"].items() if k != "total")


def test_without_reasons(api: Api) -> None:
    feed = api.get("/v1/users/u1/feed", explain="false").json()
    assert feed["items"]
    assert not any("reason" in entry for entry in feed["items"])


def test_a_click_is_in_the_next_feed(api: Api) -> None:
    before = api.get("/v1/users/u1/feed", n=3)
    token = click(api, ids(before)[0])
    answer = api.get("/v1/users/u1/feed", n=3, after=token)
    assert ids(before)[0] not in ids(answer)
    assert answer.json()["freshness"]["caught_up"]
    assert answer.json()["freshness"]["applied_offset"] == 0


def test_an_event_posted_twice_counts_once_and_disturbs_nobody(api: Api) -> None:
    click(api, "i5")
    click(api, "i5")
    assert api.get("/v1/users/u1/features").json()["events"]["5m"] == {"click": 1}
    assert api.post("/v1/users", {"user_id": "u2"}).status_code == 202


def test_every_feed_is_logged_as_an_impression(api: Api) -> None:
    feed = api.get("/v1/users/u1/feed", n=3, device="ios", region="DE").json()
    api.run(api.services.impressions.stop())
    ((_, shown),) = api.log.stored
    assert isinstance(shown, Impression)
    assert (shown.request_id, shown.user_id, shown.device, shown.region) == (feed["request_id"], "u1", "ios", "DE")
    assert shown.items == [entry["item_id"] for entry in feed["items"]]
    assert shown.features is not None
    assert len(shown.features) == 4 * 3 * len(NAMES)
    assert shown.applied_offset == -1, "a server made it, of somebody who has done nothing"


def test_an_impression_says_which_events_its_features_knew_of(api: Api) -> None:
    click(api, "i5")
    api.get("/v1/users/u1/feed", n=3)
    api.rows.error = ConnectionError("refused")
    api.get("/v1/users/u1/feed", n=3)
    api.run(api.services.impressions.stop())
    (_, shown), (_, fallen) = api.log.stored[-2:]
    assert isinstance(shown, Impression)
    assert isinstance(fallen, Impression)
    assert (shown.applied_offset, shown.own_offsets) == (-1, [0]), "no row yet, and the click on top of none"
    assert shown.features is not None
    assert (fallen.features, fallen.applied_offset, fallen.own_offsets) == (None, None, None), (
        "a feed that fell back is nothing to learn from"
    )


def test_request_ids_are_unique(api: Api) -> None:
    assert len({api.get("/v1/users/u1/feed").json()["request_id"] for _ in range(20)}) == 20


def test_a_store_that_fails_degrades_the_feed_and_counts(api: Api) -> None:
    api.rows.error = ConnectionError("refused")
    answer = api.get("/v1/users/u1/feed", n=5)
    assert (answer.status_code, answer.json()["degraded"], len(ids(answer))) == (200, ["hydrate"], 5)
    assert 'freshet_degraded_total{stage="hydrate"} 1.0' in api.get("/metrics").text


def test_features_as_people_read_them(api: Api) -> None:
    click(api, "i5", properties={"region": "DE"})
    found = api.get("/v1/users/u1/features").json()
    assert found["recent"][0]["item_id"] == "i5"
    assert found["recent"][0]["title"] == "Title 5"
    assert found["session"]["counts"] == {"click": 1}
    assert found["categories"] == {"odd": 1.0}
    assert (found["seen"], found["has_vector"]) == (1, True)


def test_similar_items(api: Api) -> None:
    answer = api.get("/v1/items/i2/similar", n=4)
    assert ids(answer)[0] == "i1"
    assert not {"i2", "i3"} & set(ids(answer)), "neither itself nor what cannot be had"
    scores = [entry["score"] for entry in answer.json()["items"]]
    assert scores == sorted(scores, reverse=True)
    assert answer.json()["degraded"] == []


def test_similar_to_an_item_without_a_vector_is_what_is_popular(api: Api) -> None:
    api.services.catalogue.put_item(Item("bare"))
    answer = api.get("/v1/items/bare/similar", n=2)
    assert (ids(answer), answer.json()["degraded"]) == (["i11", "i10"], ["retrieve"])


def test_similar_to_nothing_is_not_found(api: Api) -> None:
    assert api.get("/v1/items/absent/similar").status_code == 404


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"n": 3}, ["i11", "i10", "i9"]),
        ({"region": "DE"}, ["i1", "i2"]),
        ({"region": "FR"}, []),
        ({"category": "even", "n": 2}, ["i10", "i8"]),
        ({"category": "even", "region": "DE"}, ["i2"]),
        ({"category": "unheard of"}, []),
        ({"category": "even", "region": "FR"}, []),
    ],
)
def test_trending(api: Api, query: dict[str, Any], expected: list[str]) -> None:
    assert ids(api.get("/v1/trending", **query)) == expected


def test_a_trending_score_is_how_many_events_are_left_of_an_item(api: Api) -> None:
    now = (now_ms() - POPULARITY_ORIGIN) / POPULARITY.half_life
    popular(api.services.catalogue, {"i1": now + np.log2(80), "i2": now - 1 + np.log2(80)})
    found = api.get("/v1/trending", n=3).json()["items"]
    assert [(entry["item_id"], entry["score"]) for entry in found] == [
        ("i1", pytest.approx(80, rel=1e-4)), ("i2", pytest.approx(40, rel=1e-4)), ("i11", pytest.approx(0, abs=1e-3)),
    ]  # fmt: skip
