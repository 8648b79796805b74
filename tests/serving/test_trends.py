"""What is trending over HTTP: items by popularity and velocity, categories and brands; and the feed's contexts."""

from __future__ import annotations

from typing import Any

import pytest

from feature_repo import builders
from operators.contexts import CONTEXTS, time_context
from operators.contract import Record, Signal
from operators.time import DAY, HOUR, MINUTE
from recommend.trending_groups import TrendingGroups
from schemas.clock import now_ms
from schemas.events import Item
from tests.operators.records import World
from tests.serving.made import Api

ITEMS = [
    Item("steady", "", ["drama", "old"], "one"), Item("rising", "", ["comedy"], "two"),
    Item("rising too", "", ["comedy", "drama"]), Item("few", "", ["drama"], "two"),
    Item("gone", "", ["horror"], "three", available=False),
]  # fmt: skip


def logs(now: int) -> dict[str, list[int]]:
    return {
        "steady": [now - k * 10 * MINUTE for k in range(6 * 24 * 40)], "rising": [now - k * MINUTE for k in range(120)],
        "rising too": [now - k * MINUTE for k in range(60)], "few": [now, now - HOUR],
        "gone": [now - k * 1000 for k in range(500)],
    }  # fmt: skip


def stock(api: Api, region: str = "") -> None:
    """Items with the rows that the operator makes of their clicks."""
    api.stock(ITEMS, {item.item_id: [1, k, 0, 0] for k, item in enumerate(ITEMS)})
    operator, now = builders.item_operator(World()), now_ms()
    for item_id, times in logs(now).items():
        for part in ("", region) if region else ("",):
            state = operator.new(part)
            for at in times:
                operator.on_event(part, state, Record(Signal("click", at, item_id, region)))
            api.services.catalogue.columns.put_features(operator.row(item_id, part, state, now))


def found(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["item_id"] for entry in answer.json()["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [({}, ["steady", "rising", "rising too", "few"]), ({"by": "popularity"}, ["steady", "rising", "rising too", "few"]),
     ({"by": "velocity"}, ["rising", "rising too"]), ({"by": "velocity", "category": "drama"}, ["rising too"]),
     ({"by": "velocity", "category": "western"}, []), ({"by": "velocity", "region": "DE"}, ["rising", "rising too"]),
     ({"by": "velocity", "region": "FR"}, []), ({"by": "velocity", "exclude": "rising"}, ["rising too"]),
     ({"by": "velocity", "min_score": 1000}, [])],
)  # fmt: skip
def test_items(api: Api, query: dict[str, Any], expected: list[str]) -> None:
    stock(api, "DE")
    assert found(api.get("/v1/trending", **query)) == expected


def test_each_item_says_how_many_times_its_baseline_it_is(api: Api) -> None:
    stock(api)
    entries = api.get("/v1/trending", by="velocity").json()["items"]
    assert all(entry["velocity"] > entry["score"] > 1 for entry in entries)
    assert entries[0]["velocity"] > entries[1]["velocity"] > 3
    assert all("velocity" not in entry for entry in api.get("/v1/trending").json()["items"])


def test_a_page_by_velocity_does_not_go_on_by_popularity(api: Api) -> None:
    stock(api)
    first = api.get("/v1/trending", by="velocity", n=1).json()
    assert found(api.get("/v1/trending", by="velocity", n=1, next=first["next"])) == ["rising too"]
    assert api.get("/v1/trending", n=1, next=first["next"]).status_code == 422


@pytest.mark.parametrize("path", ["/v1/trending", "/v1/trending/categories", "/v1/trending/brands"])
def test_what_it_cannot_be_by_is_refused(api: Api, path: str) -> None:
    answer = api.get(path, by="speed")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"name": "by", "detail": "must be one of: popularity, velocity"}]


@pytest.mark.parametrize(
    ("kind", "query", "expected"),
    [("categories", {}, ["drama", "old", "comedy"]), ("categories", {"n": 1}, ["drama"]),
     ("categories", {"by": "velocity"}, ["comedy", "drama"]),
     ("categories", {"region": "DE", "by": "velocity"}, ["comedy", "drama"]),
     ("categories", {"region": "FR"}, []), ("brands", {}, ["one", "two"]), ("brands", {"by": "velocity"}, ["two"])],
)  # fmt: skip
def test_categories_and_brands(api: Api, kind: str, query: dict[str, Any], expected: list[str]) -> None:
    stock(api, "DE")
    answer = api.get(f"/v1/trending/{kind}", **query)
    assert answer.status_code == 200, answer.text
    entries = answer.json()[kind]
    assert [entry["name"] for entry in entries] == expected
    assert [entry["rank"] for entry in entries] == list(range(len(expected)))


def test_sums_are_those_of_the_items(api: Api) -> None:
    stock(api)
    items = {entry["item_id"]: entry["score"] for entry in api.get("/v1/trending").json()["items"]}
    groups = {entry["name"]: entry for entry in api.get("/v1/trending/categories").json()["categories"]}
    assert groups["comedy"]["popularity"] == pytest.approx(items["rising"] + items["rising too"], rel=1e-3)
    assert {name: entry["items"] for name, entry in groups.items()} == {"drama": 3, "old": 1, "comedy": 2}
    assert groups["old"]["velocity"] == pytest.approx(1, abs=0.15)
    assert groups["comedy"]["velocity"] > 3


def test_sums_are_kept_for_a_second(api: Api) -> None:
    stock(api)
    now, columns = [10.0], api.services.catalogue.columns
    groups = TrendingGroups(columns, lambda: now[0])
    before = groups.best("brands", now_ms(), 5)
    columns.popularity[columns.row_of["few"]] = columns.popularity[columns.row_of["steady"]] + 10
    assert groups.best("brands", now_ms(), 5) == before
    now[0] += 1
    assert groups.best("brands", now_ms(), 5)[0].name == "two"


def test_an_empty_catalogue(api: Api) -> None:
    for kind in ("categories", "brands"):
        assert api.get(f"/v1/trending/{kind}").json() == {"by": "popularity", "region": None, kind: []}


# -- contexts of the feed ---------------------------------------------------------------------------


def popular_in(api: Api, item_id: str, context: str) -> None:
    """Gives the item sixty purchases in a context, and two in each of its kind."""
    operator, state = builders.item_operator(World()), builders.item_operator(World()).new()
    place, now = CONTEXTS.index(context), now_ms()
    of_kind = range(8) if place < 8 else range(8, len(CONTEXTS))
    for each in [place] * 60 + [*of_kind] * 2:
        operator.on_event("", state, Record(Signal("purchase", now - DAY, item_id, contexts=(each,))))
    api.services.catalogue.columns.put_features(operator.row(item_id, "", state, now))


def reasons(api: Api, **query: Any) -> dict[str, Any]:
    feed = api.get("/v1/users/u1/feed", **query)
    assert feed.status_code == 200, feed.text
    return {entry["item_id"]: entry["reason"]["text"] for entry in feed.json()["items"]}


def test_the_feed_knows_the_device_and_the_time_where_the_person_is(api: Api) -> None:
    api.stock([Item(name) for name in ("a", "b", "c", "d")])
    context = CONTEXTS[time_context(now_ms(), "Asia/Dubai")]
    popular_in(api, "a", "mobile")
    popular_in(api, "b", "tv")
    popular_in(api, "c", context)
    popular_in(api, "d", CONTEXTS[(CONTEXTS.index(context) + 2) % 8])
    assert reasons(api, device="iOS")["a"] == "Popular on mobile now"
    assert reasons(api, device="tv")["b"] == "Popular on TV now"
    orders = {device: [i for i in reasons(api, device=device) if i in "ab"] for device in ("iOS", "tv")}
    assert orders == {"iOS": ["a", "b"], "tv": ["b", "a"]}
    expected = f"Popular on {context.replace('_', ' ')}s"
    assert reasons(api, timezone="Asia/Dubai")["c"] == expected
    profile = {"user_id": "u1", "attributes": {"timezone": "Asia/Dubai"}}
    token = api.post("/v1/users", profile).json()["token"]
    assert reasons(api, after=token)["c"] == expected


def test_a_time_zone_that_there_is_not_is_refused(api: Api) -> None:
    answer = api.get("/v1/users/u1/feed", timezone="Europe/Atlantis")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"name": "timezone", "detail": "must be the IANA name of a time zone, such as Europe/Berlin or UTC"}
    ]


def test_groups_of_a_log_that_ended_years_ago_have_their_order(api: Api) -> None:
    stock(api)
    groups = TrendingGroups(api.services.catalogue.columns, lambda: 0.0)
    now = now_ms()
    order = [trend.name for trend in groups.best("categories", now, 10)]
    late = TrendingGroups(api.services.catalogue.columns, lambda: 0.0).best("categories", now + 40 * 365 * DAY, 10)
    assert [trend.name for trend in late] == order
    assert [trend.popularity for trend in late] == [0.0] * len(order)
    assert [trend.velocity for trend in groups.best("categories", now, 10, "velocity")]
