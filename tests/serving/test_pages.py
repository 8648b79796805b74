"""GET /v1/users/{id}/page over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from operators.time import DAY
from schemas.clock import now_ms
from schemas.events import Impression, Item
from tests.serving.made import Api, popular

N = 120
PATH = "/v1/users/u1/page"
VECTORS = {f"i{k}": [1, k / 30, (k % 5) / 5, 0] for k in range(N)}


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    now = now_ms()
    items = [
        Item(f"i{k}", f"Title {k}", [f"c{k % 5}"], created_at=now - k * DAY, attributes={"on_sale": k % 4 == 0})
        for k in range(N)
    ]
    api.stock(items, VECTORS)
    popular(api.services.catalogue, {f"i{k}": float(k) for k in range(N)})
    popular(api.services.catalogue, {f"i{k}": float(N - k) for k in range(N)}, "DE")


def did(api: Api, *events: tuple[str, str]) -> str:
    posted = [
        {"event_id": f"e{k}", "event_type": kind, "user_id": "u1", "item_id": item, "timestamp": now_ms() - 1000 + k}
        for k, (kind, item) in enumerate(events)
    ]
    return api.post("/v1/events", posted).json()["token"]  # type: ignore[no-any-return]


def items_of(page: dict[str, Any]) -> list[str]:
    return [entry["item_id"] for row in page["rows"] for entry in row["items"]]


def logged(api: Api) -> list[Impression]:
    api.run(api.services.impressions.stop())
    return [event for _, event in api.log.stored if isinstance(event, Impression)]


def test_a_page(api: Api) -> None:
    token = did(api, ("click", "i3"), ("play", "i4"))
    page = api.get(PATH, rows=6, per_row=5, region="DE", after=token).json()
    assert (page["user_id"], page["surface"], page["model_version"], page["degraded"]) == ("u1", "page", "v1", [])
    assert [row["row"] for row in page["rows"]] == list(range(6))
    assert len(set(items_of(page))) == len(items_of(page))
    because = next(row for row in page["rows"] if row["algorithm"] == "because_item")
    assert because["title"] == {"code": "because_item", "text": f"Because you {_verb(because)}", "category": None}
    assert because["anchor"] in ("i3", "i4")
    assert [entry["rank"] for entry in because["items"]] == list(range(5))
    assert all(entry["reason"]["item_id"] == because["anchor"] for entry in because["items"])
    assert all(entry["item"]["title"] for row in page["rows"] for entry in row["items"])
    assert set(page["timings_ms"]) == {"hydrate", "rows", "total"}
    assert page["freshness"]["caught_up"]


def _verb(row: dict[str, Any]) -> str:
    return {"i3": "clicked Title 3", "i4": "watched Title 4"}[row["anchor"]]


def test_one_hydration_and_one_impression_for_each_row(api: Api) -> None:
    did(api, ("click", "i3"))
    before = api.rows.reads
    page = api.get(PATH, rows=4, per_row=5, region="DE", device="tv").json()
    assert api.rows.reads == before + 1
    found = logged(api)
    assert [(each.request_id, each.surface, each.items) for each in found] == [
        (row["request_id"], row["surface"], [entry["item_id"] for entry in row["items"]]) for row in page["rows"]
    ]
    assert [each.request_id for each in found] == [f"{page['request_id']}-{k}" for k in range(4)]
    assert {(each.user_id, each.region, each.device, each.variant) for each in found} == {("u1", "DE", "tv", "default")}
    home = next(each for each in found if each.surface == "page:home")
    assert home.features is not None
    assert home.own_offsets


def test_what_is_not_logged(api: Api) -> None:
    api.get(PATH, dry_run=True)
    api.ask("HEAD", PATH)
    assert logged(api) == []


def test_a_person_without_consent_has_unpersonalized_rows_and_nothing_is_logged(api: Api) -> None:
    did(api, ("click", "i3"), ("purchase", "i4"))
    api.post("/v1/users", {"user_id": "u1", "consent": False, "interests": ["c1"]})
    page = api.get(PATH, rows=10, region="DE").json()
    stranger = api.get("/v1/users/nobody/page", rows=10, region="DE", dry_run=True).json()
    assert items_of(page) == items_of(stranger)
    assert {row["algorithm"] for row in page["rows"]} == {"home", "trending", "popular_in_region", "on_sale"}
    assert page["freshness"]["last_event_at"] is None
    assert logged(api) == []


def test_what_a_page_can_be_asked(api: Api) -> None:
    whole = items_of(api.get(PATH).json())
    found = api.get(PATH, exclude=",".join([*whole[:9], "nothing"]), filter='"c1" in item.categories').json()
    assert items_of(found)
    assert not set(items_of(found)) & set(whole[:9])
    assert all(int(item[1:]) % 5 == 1 for item in items_of(found))
    assert found["unknown_items"] == ["nothing"]
    assert found["filter"] == {"matching": 24 - sum(int(i[1:]) % 5 == 1 for i in whole[:9]), "fewer": True}
    assert "trace" not in found["rows"][0]
    full = api.get(PATH, explain="full").json()["rows"][0]
    assert full["trace"]
    assert full["items"][0]["detail"]["sources"]
    assert not any("reason" in e for row in api.get(PATH, explain="none").json()["rows"] for e in row["items"])


def test_titles_and_reasons_are_in_the_language_of_the_request(api: Api) -> None:
    did(api, ("click", "i3"))
    rows = {row["algorithm"]: row for row in api.get(PATH, rows=12, locale="de-AT").json()["rows"]}
    assert rows["home"]["title"]["text"] == "Für dich"
    assert rows["because_item"]["title"]["text"] == "Weil du Title 3 angeklickt hast"
    assert rows["because_item"]["items"][0]["reason"]["text"] == "Weil du Title 3 angeklickt hast"
    assert rows["category"]["title"] == {"code": "category", "text": "Mehr c3", "category": "c3"}


@pytest.mark.parametrize(
    ("query", "name"),
    [({"rows": 0}, "rows"), ({"rows": 21}, "rows"), ({"per_row": 41}, "per_row"), ({"n": 5}, "n"),
     ({"filter": "item.nothing == 1"}, "filter"), ({"objective": "like:1"}, "objective")],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(api: Api, query: dict[str, Any], name: str) -> None:
    answer = api.get(PATH, **query)
    assert (answer.status_code, answer.json()["errors"][0]["name"]) == (422, name)


def test_hidden_items_are_in_no_row(api: Api) -> None:
    hidden = items_of(api.get(PATH).json())[0]
    event = {
        "event_id": "h", "event_type": "feedback", "user_id": "u1", "item_id": hidden, "timestamp": now_ms(),
        "properties": {"control": "hide"},
    }  # fmt: skip
    assert api.post("/v1/events", event).status_code == 202
    assert hidden not in items_of(api.get(PATH, rows=20).json())


def test_the_store_may_be_away(api: Api) -> None:
    api.rows.error = ConnectionError("away")
    page = api.get(PATH).json()
    assert page["rows"]
    assert page["degraded"] == ["hydrate"]
    assert logged(api) == []


def test_rules_hide_in_every_row_and_pin_in_the_row_for_you_alone(api: Api) -> None:
    rules = {
        "no-c1": {"kind": "hide", "where": '"c1" in item.categories'},
        "first": {"kind": "pin", "item_id": "i99", "position": 0},
    }
    for name, rule in rules.items():
        assert api.ask("PUT", f"/v1/rules/{name}?by=anna", json=rule).status_code == 200
    did(api, ("click", "i3"))
    page = api.get(PATH, rows=20).json()
    assert not any(int(item[1:]) % 5 == 1 for item in items_of(page))
    assert next(row for row in page["rows"] if row["algorithm"] == "home")["items"][0]["item_id"] == "i99"
    because = next(row for row in page["rows"] if row["algorithm"] == "because_item")
    assert "i99" not in [entry["item_id"] for entry in because["items"]]
