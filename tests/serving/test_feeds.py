"""The reading calls over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_repo.inputs import NAMES
from operators.decay import POPULARITY_ORIGIN
from recommend.popular import Popular
from recommend.query import Query
from recommend.rankers.popularity import POPULARITY
from recommend.trace import STEPS
from schemas.clock import now_ms
from schemas.events import Impression, Item
from tests.recommend.test_together import bought
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
    answer = api.get("/v1/users/u1/feed", n=5, surface="home", region="DE")
    feed = answer.json()
    assert answer.status_code == 200
    assert (feed["user_id"], feed["surface"], feed["model_version"], feed["degraded"]) == ("u1", "home", "v1", [])
    assert [entry["rank"] for entry in feed["items"]] == [0, 1, 2, 3, 4]
    assert all(entry["item"]["title"] == f"Title {entry['item_id'][1:]}" for entry in feed["items"])
    assert all(entry["reason"]["text"] for entry in feed["items"])
    assert set(feed["timings_ms"]) == {"hydrate", *STEPS, "total"}
    assert feed["timings_ms"]["total"] >= max(v for k, v in feed["timings_ms"].items() if k != "total")


def test_without_reasons(api: Api) -> None:
    feed = api.get("/v1/users/u1/feed", explain="none").json()
    assert feed["items"]
    assert not any("reason" in entry for entry in feed["items"])


def test_a_surface_that_there_is_not_is_refused_with_those_there_are(api: Api) -> None:
    answer = api.get("/v1/users/u1/feed", surface="cart")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"name": "surface", "detail": "must be one of: email, friends, home, people_like_you, push"}
    ]


def test_a_full_explanation(api: Api) -> None:
    click(api, "i5")
    feed = api.get("/v1/users/u1/feed", n=3, region="DE", explain="full").json()
    assert all(entry["reason"]["text"] for entry in feed["items"])
    detail = feed["items"][0]["detail"]
    assert set(detail["sources"]) <= {"nearest", "similar", "popular_in_region", "popular"}
    assert list(detail["features"]) == list(NAMES)
    assert detail["scores"] == {"score": feed["items"][0]["score"]}
    stages = {stage["stage"]: stage for stage in feed["trace"]}
    assert list(stages) == [
        "nearest", "similar", "new", "popular_in_region", "popular", "popular_at_time", "unavailable", "seen",
        "model", "diverse", "reasons",
    ]  # fmt: skip
    assert (stages["seen"]["candidates_in"], stages["seen"]["removed"]) == (11, 1)
    assert (stages["model"]["candidates_in"], stages["model"]["candidates_out"]) == (10, 10)
    found = api.get("/metrics").text
    assert 'freshet_removed_total{filter="seen",surface="home"} 1.0' in found
    assert 'freshet_stage_seconds_count{stage="rank",surface="home"} 1.0' in found


@pytest.mark.parametrize("explain", ["none", "reason"])
def test_a_trace_is_for_those_who_ask(api: Api, explain: str) -> None:
    feed = api.get("/v1/users/u1/feed", explain=explain).json()
    assert "trace" not in feed
    assert not any("detail" in entry for entry in feed["items"])


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


def test_the_head_of_a_feed_shows_nobody_a_list(api: Api) -> None:
    assert api.ask("HEAD", "/v1/users/u1/feed").status_code == 200
    api.run(api.services.impressions.stop())
    assert [event for place, event in api.log.stored if place.topic == "impressions"] == []


def test_an_impression_says_which_events_its_features_knew_of(api: Api) -> None:
    assert api.post("/v1/users", {"user_id": "u1", "consent": True}).status_code == 202
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
    answer = api.get("/v1/items/i2/similar", n=4, objective="behaviour:1")
    assert ids(answer)[0] == "i1"
    assert not {"i2", "i3"} & set(ids(answer)), "neither itself nor what cannot be had"
    scores = [entry["score"] for entry in answer.json()["items"]]
    assert scores == sorted(scores, reverse=True)
    assert answer.json()["degraded"] == []


def test_a_new_item_is_similar_by_content_and_an_established_one_by_behaviour(api: Api) -> None:
    """An established item: near what the same people met, and alike by its category, or both; new ones by content."""
    content = {"category:even": [0, 1, 0.5, 0], "category:odd": [1, 0, 0, 0.5]}
    api.stock(ITEMS, VECTORS, content=content, version="v2")
    api.services.catalogue.put_item(Item("fresh", "Fresh", ["odd"]))
    of_new = api.get("/v1/items/fresh/similar", n=5).json()["items"]
    assert {entry["reason"]["code"] for entry in of_new} == {"similar_by_content"}
    assert of_new[0]["reason"] == {"code": "similar_by_content", "text": "Much like Fresh", "item_id": "fresh"}
    found = api.get("/v1/items/i4/similar", n=20, explain="full").json()["items"]
    codes = {entry["item_id"]: entry["reason"]["code"] for entry in found}
    assert codes["i5"] == "similar_by_behaviour", "the same people, another category"
    assert codes["i6"] == "similar_by_both"
    assert codes["fresh"] == "similar_by_content"
    scores = {entry["item_id"]: entry["detail"]["scores"] for entry in found}
    assert scores["i6"]["content"] == 1
    assert scores["i5"]["content"] == 0
    assert scores["fresh"]["content"] == scores["fresh"]["behaviour"], "content stands in for behaviour"
    for entry in found:
        detail = entry["detail"]["scores"]
        assert entry["score"] == pytest.approx(0.8 * detail["behaviour"] + 0.2 * detail["content"], abs=1e-4)


def test_similar_items_by_content_alone_or_by_behaviour_alone(api: Api) -> None:
    by_content = api.get("/v1/items/i4/similar", n=4, objective="content:1").json()["items"]
    assert all(entry["item"]["categories"] == ["even"] for entry in by_content)
    by_behaviour = api.get("/v1/items/i4/similar", n=2, objective="behaviour:1").json()["items"]
    assert {entry["item_id"] for entry in by_behaviour} == {"i5", "i6"}


def test_what_is_bought_together_is_similar_by_behaviour_also_without_events_at_training(api: Api) -> None:
    api.services.catalogue.put_item(Item("fresh", "Fresh", ["new"]))
    bought(api.services.catalogue, {"i4": (40.0, {"fresh": 0.5})})
    found = api.get("/v1/items/i4/similar", n=20).json()["items"]
    (fresh,) = (entry for entry in found if entry["item_id"] == "fresh")
    assert fresh["reason"]["code"] == "similar_by_behaviour"
    assert fresh["score"] > 0.1


def test_the_texts_of_similar_items_are_in_the_readers_language(api: Api) -> None:
    found = {
        locale: api.get("/v1/items/i4/similar", n=1, locale=locale, objective="content:1").json()["items"][0]["reason"]
        for locale in ("en", "de", "zh")
    }
    assert len({said["text"] for said in found.values()}) == 3
    assert all("Title 4" in said["text"] for said in found.values())
    assert "reason" not in api.get("/v1/items/i4/similar", explain="none").json()["items"][0]


def test_similar_to_an_item_without_a_vector_is_what_is_popular(api: Api) -> None:
    api.services.catalogue.put_item(Item("bare"))
    answer = api.get("/v1/items/bare/similar", n=2)
    assert (ids(answer), answer.json()["degraded"]) == (["i11", "i10"], ["retrieve"])


def test_similar_items_are_found_behind_unavailable_ones(api: Api) -> None:
    twins = [Item(f"twin{k}", available=False) for k in range(60)]
    api.stock([*ITEMS, *twins], VECTORS | {item.item_id: [1, 2 / 4, 0, 0] for item in twins}, version="v2")
    answer = api.get("/v1/items/i2/similar", n=5, objective="behaviour:1")
    assert set(ids(answer)) == {"i0", "i1", "i4", "i5", "i6"}
    assert answer.json()["degraded"] == []


def test_similar_items_where_the_index_fails_are_popular_ones(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> Any:
        raise RuntimeError("Cannot return the results in a contiguous 2D array")

    monkeypatch.setattr(Query, "nearest", fail)
    answer = api.get("/v1/items/i2/similar", n=3, explain="full")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["retrieve"])
    assert len(ids(answer)) == 3
    failed, instead, *_ = answer.json()["trace"]
    assert (failed["stage"], failed["fell_back"], instead["stage"]) == ("neighbours", "popular", "popular")
    assert "contiguous" not in failed["failed"], "the text of an exception is not for callers"
    found = api.get("/metrics").text
    assert 'freshet_stage_failures_total{stage="neighbours",surface="similar"} 1.0' in found


def test_an_item_that_has_just_sold_out_is_not_trending(api: Api) -> None:
    pipeline = api.services.pipeline
    pipeline.popular._max_age_s = 3600
    assert ids(api.get("/v1/trending", n=2)) == ["i11", "i10"]
    api.services.catalogue.put_item(Item("i11", available=False))
    assert ids(api.get("/v1/trending", n=2)) == ["i10", "i9"]


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


def test_without_a_model_popularity_is_not_sorted_at_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorts: list[int] = []
    plain = Popular._of

    def counted(self: Popular, code: int, allowed: Any) -> Any:
        sorts.append(code)
        return plain(self, code, allowed)

    monkeypatch.setattr(Popular, "_of", counted)
    api = Api(tmp_path / "none")
    api.services.catalogue.put_item(Item("i1"))
    for _ in range(20):
        assert ids(api.get("/v1/trending")) == ["i1"]
    api.close()
    assert len(sorts) < 5


def test_of_a_person_without_consent_no_list_is_logged_and_nothing_is_shown(api: Api) -> None:
    click(api, "i1")
    assert len(api.get("/v1/users/u1/features").json()["recent"]) == 1
    stranger = api.get("/v1/users/u2/features").json()
    receipt = api.post("/v1/users", {"user_id": "u1", "interests": ["even"], "consent": False}).json()
    click(api, "i2", "e2")
    feed = api.get("/v1/users/u1/feed", explain="full", after=receipt["token"]).json()
    assert len(feed["items"]) > 0
    assert feed["freshness"] == {"last_event_at": None, "applied_offset": None, "lag_ms": 0, "caught_up": True}
    assert not any("item_id" in entry["reason"] for entry in feed["items"])
    assert api.get("/v1/users/u1/features").json() == stranger | {"user_id": "u1"}
    api.get("/v1/users/u2/feed")
    api.run(api.services.impressions.stop())
    assert {event.user_id for _, event in api.log.stored if isinstance(event, Impression)} == {"u2"}


def test_with_opt_in_no_list_of_a_stranger_is_logged(tmp_path: Path) -> None:
    api = Api(tmp_path, consent="opt_in")
    api.stock(ITEMS, VECTORS)
    for consent in (None, True):
        api.post("/v1/users", {"user_id": "u1", "consent": consent} if consent else {"user_id": "u1"})
        assert api.get("/v1/users/u1/feed").json()["items"]
    api.close()
    assert sum(isinstance(event, Impression) for _, event in api.log.stored) == 1
