"""POST /v1/batch."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.clock import now_ms
from schemas.events import Impression, Item
from serving.batch import LONGEST, MOST
from tests.serving.made import Api

ITEMS = [Item(f"i{k}", f"Title {k}", ["c"]) for k in range(30)]


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, {f"i{k}": [1, k, 0, 0] for k in range(30)})


def batch(api: Api, *requests: Any) -> list[dict[str, Any]]:
    answer = api.post("/v1/batch", {"requests": list(requests)})
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"]  # type: ignore[no-any-return]


def steady(body: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from request to request."""
    kept = {k: v for k, v in body.items() if k not in ("request_id", "timings_ms", "next")}
    if "rows" in kept:
        kept["rows"] = [{k: v for k, v in row.items() if k != "request_id"} for row in kept["rows"]]
    return kept


def test_each_answer_is_that_of_the_request_by_itself(api: Api) -> None:
    paths = [
        "/v1/users/u1/feed?n=5&exclude=i1,i2", "/v1/users/u1/page?rows=2", "/v1/users/u1/recent",
        "/v1/users/u%2F1/features", "/v1/items/i3/similar?n=3", "/v1/trending?category=c", "/v1/items/no/similar",
        "/v1/users/u1/feed?n=a",
    ]  # fmt: skip
    event = {"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i3", "timestamp": now_ms()}
    api.post("/v1/events", event)
    found = batch(api, *({"path": path} for path in paths))
    for path, entry in zip(paths, found, strict=True):
        alone = api.ask("GET", path)
        assert entry["status"] == alone.status_code
        known, given = steady(alone.json()), steady(entry["body"])
        for each in (known, given):
            each.get("freshness", {}).pop("lag_ms", None)
        assert given == known
    assert [entry["status"] for entry in found] == [200, 200, 200, 200, 200, 200, 404, 422]


def test_posts_that_read_may_be_in_it(api: Api) -> None:
    found = batch(
        api, {"method": "POST", "path": "/v1/cart?n=3", "body": {"items": ["i1"], "user_id": "u1"}},
        {"method": "POST", "path": "/v1/rank", "body": {"items": ["i2", "i1"]}},
        {"method": "POST", "path": "/v1/rank", "body": {"items": []}},
    )  # fmt: skip
    assert [entry["status"] for entry in found] == [200, 200, 422]
    assert len(found[0]["body"]["items"]) == 3


def test_a_person_is_hydrated_once(api: Api) -> None:
    before = api.rows.reads
    batch(api, *[{"path": "/v1/users/u1/feed"}] * 3, {"path": "/v1/users/u1/page"}, {"path": "/v1/users/u2/feed"})
    assert api.rows.reads == before + 2
    batch(api, {"path": "/v1/users/u1/feed"})
    assert api.rows.reads == before + 3


def test_what_happens_between_batches_is_in_the_next(api: Api) -> None:
    assert batch(api, {"path": "/v1/users/u1/recent"})[0]["body"]["items"] == []
    event = {"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": "i3", "timestamp": now_ms()}
    api.post("/v1/events", event)
    assert batch(api, {"path": "/v1/users/u1/recent"})[0]["body"]["items"][0]["item_id"] == "i3"


@pytest.mark.parametrize(
    ("given", "status", "name"),
    [
        (5, 422, "request"), ({}, 422, "path"), ({"path": 5}, 422, "path"), ({"path": "feed"}, 422, "path"),
        ({"path": "/v1/users/ü/feed"}, 422, "path"), ({"path": "/v1/" + "x" * LONGEST}, 422, "path"),
        ({"path": "/v1/trending", "method": "PUT"}, 422, "method"), ({"path": "/v1/trending", "n": 5}, 422, "n"),
        ({"path": "/v1/trending", "body": {}}, 422, "body"), ({"path": "/v1/cart", "method": "POST"}, 422, "body"),
        ({"path": "/v1/events", "method": "POST", "body": {}}, 404, None),
        ({"path": "/v1/batch", "method": "POST", "body": {}}, 404, None), ({"path": "/v1/nothing"}, 404, None),
        ({"path": "/v1/cart"}, 405, None), ({"path": "/v1/users//feed"}, 404, None),
    ],
)  # fmt: skip
def test_a_bad_request_is_an_entry_of_its_own(api: Api, given: Any, status: int, name: str | None) -> None:
    found = batch(api, {"path": "/v1/trending"}, given, {"path": "/v1/trending"})
    assert [entry["status"] for entry in found] == [200, status, 200]
    assert found[1]["body"]["status"] == status
    if name is not None:
        assert found[1]["body"]["errors"][0]["name"] == name


def test_a_request_that_fails_is_an_entry_of_its_own(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.history.segments", None)
    found = batch(api, {"path": "/v1/users/u1/segments"}, {"path": "/v1/trending"})
    assert [entry["status"] for entry in found] == [500, 200]


@pytest.mark.parametrize("body", [{}, {"requests": []}, {"requests": [{"path": "/v1/trending"}] * (MOST + 1)}, []])
def test_a_batch_that_is_none_is_refused(api: Api, body: Any) -> None:
    assert api.post("/v1/batch", body).status_code == 422


def test_what_is_shown_in_a_batch_is_logged_as_by_itself(api: Api) -> None:
    found = batch(api, {"path": "/v1/users/u1/feed?n=3"}, {"path": "/v1/users/u1/feed?n=3&dry_run=true"})
    api.run(api.services.impressions.stop())
    logged = [event.request_id for _, event in api.log.stored if isinstance(event, Impression)]
    assert logged == [found[0]["body"]["request_id"]]
