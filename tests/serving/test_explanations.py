"""explain=events over HTTP, and the example in docs/explanations.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recommend.explain_events import KEPT, LATEST, LEAST, MOST
from schemas.clock import now_ms
from schemas.events import Item
from tests.serving.made import Api

TEXT = (Path(__file__).parents[2] / "docs" / "explanations.md").read_text()
ITEMS = [Item(f"i{k}", f"Title {k}", ["even" if k % 2 == 0 else "odd"]) for k in range(12)]


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, {f"i{k}": [1, k / 4, 0, 0] for k in range(12)})


def click(api: Api, item_id: str, kind: str = "click") -> str:
    event = {"event_id": item_id, "event_type": kind, "user_id": "u1", "item_id": item_id, "timestamp": now_ms()}
    return api.post("/v1/events", event).json()["token"]  # type: ignore[no-any-return]


def test_a_feed_names_the_events_that_moved_its_items(api: Api) -> None:
    click(api, "i11", "dislike")
    token = click(api, "i5")
    feed = api.get("/v1/users/u1/feed", explain="events", after=token).json()
    assert (feed["degraded"], feed["left_out"]) == ([], {"events": 2, "inexact": []})
    first = feed["items"][0]
    assert first["detail"]["sources"]
    (of_click,) = [each for each in first["events"] if each["item_id"] == "i5"]
    assert (of_click["event_type"], of_click["age_s"] < 60) == ("click", True)
    assert of_click["delta"] > 0
    for explain in ("full", "reason", "none"):
        other = api.get("/v1/users/u1/feed", explain=explain, after=token).json()
        assert "left_out" not in other
        assert not any("events" in entry for entry in other["items"])
        assert [entry["item_id"] for entry in other["items"]] == [entry["item_id"] for entry in feed["items"]]


def test_a_list_of_the_callers_names_them_too(api: Api) -> None:
    token = click(api, "i5")
    asked = {"items": ["i6", "i0"], "user_id": "u1"}
    found = api.post("/v1/rank", asked, params={"explain": "events", "after": token}).json()
    assert [each["item_id"] for entry in found["items"] for each in entry["events"]] == ["i5", "i5"]
    nobody = api.post("/v1/rank", {"items": ["i6", "i0"]}, params={"explain": "events"}).json()
    assert (nobody["degraded"], nobody["left_out"]["events"]) == ([], 0)


def test_other_surfaces_refuse_it(api: Api) -> None:
    answer = api.get("/v1/trending", explain="events")
    assert answer.status_code == 422
    assert "explain" in answer.json()["detail"]


def test_the_example_is_answered_and_the_limits_are_those_of_the_code(api: Api) -> None:
    (path,) = re.findall(r"curl -s 'localhost:8000([^']*explain=events[^']*)'", TEXT)
    assert api.get(path).json()["left_out"]["events"] == 0
    for said in (f"last {LATEST}\nevents", f"The {MOST} events", f"below {LEAST:.5f}", f"fewer than {KEPT} events"):
        assert said in TEXT
