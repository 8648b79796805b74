"""What a request may ask, with the same words on every surface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY
from recommend.model import Parts
from recommend.rankers.popularity import POPULARITY
from recommend.surfaces import PERSONAL, SURFACES
from schemas.clock import now_ms
from schemas.events import Impression, Item
from serving.feeds import FEED, ONBOARDING, SIMILAR, TRENDING
from serving.request_parameters import COMMON
from serving.together import CART
from serving.together import ITEM as TOGETHER
from serving.variants import Variant
from tests.serving.made import Api, Ranker, pipeline, popular
from tests.serving.surfaces import PATHS, ask, ids, stock

N = 40
ITEMS = [Item(f"i{k}", f"Title {k}", [f"c{k % 7}"], price=float(k)) for k in range(N)]
VECTORS = {f"i{k}": [1, k / 9, (k % 5) / 5, 0] for k in range(N)}
KEY = "secret"


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    stock(api, ITEMS, VECTORS)


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Api]:
    """A server with an API key, which every request carries."""
    api = Api(tmp_path / "keyed", api_key=KEY)
    api._client.headers["X-API-Key"] = KEY
    stock(api, ITEMS, VECTORS)
    yield api
    api.close()


def click(api: Api, item_id: str) -> None:
    event = {"event_id": "e1", "event_type": "click", "user_id": "u1", "item_id": item_id, "timestamp": now_ms()}
    assert api.post("/v1/events", event).status_code == 202


def test_every_surface_that_finds_items_is_tried_here() -> None:
    assert set(PATHS) == {surface.name for surface in SURFACES} - {"rank"}


@pytest.mark.parametrize("parameters", [FEED, SIMILAR, TRENDING, ONBOARDING, TOGETHER, CART])
def test_every_surface_takes_the_same_parameters(parameters: tuple[Any, ...]) -> None:
    assert set(COMMON) <= set(parameters)
    assert {"n", "explain"} <= {parameter.name for parameter in parameters}


@pytest.mark.parametrize("surface", PATHS)
def test_excluded_items_are_not_shown_and_others_take_their_places(api: Api, surface: str) -> None:
    whole = ids(ask(api, surface, n=20))
    found = ask(api, surface, n=20, exclude=",".join(whole[:5]), explain="full")
    assert not set(ids(found)) & set(whole[:5])
    assert len(ids(found)) == 20
    assert found.json()["unknown_items"] == []


@pytest.mark.parametrize("surface", PATHS)
def test_unknown_excluded_items_are_named(api: Api, surface: str) -> None:
    found = ask(api, surface, n=3, exclude=["what,i3", "else", "what"]).json()
    assert found["unknown_items"] == ["what", "else"]
    assert ask(api, surface, n=3).json()["unknown_items"] == []


@pytest.mark.parametrize("surface", PATHS)
def test_too_many_excluded_items_are_refused(api: Api, surface: str) -> None:
    answer = ask(api, surface, exclude=",".join(f"x{k}" for k in range(201)))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"name": "exclude", "detail": "must hold 1 to 200 item ids, and holds 201"}]


@pytest.mark.parametrize("surface", PATHS)
def test_items_below_the_least_score_are_not_shown_and_nothing_fills_up(api: Api, surface: str) -> None:
    click(api, "i20")
    scores = sorted((entry["score"] for entry in ask(api, surface, n=30).json()["items"]), reverse=True)
    least = scores[9] - 1e-4
    found = ask(api, surface, n=30, min_score=f"{least:.6f}").json()
    assert found["items"]
    assert all(entry["score"] >= least - 1e-5 for entry in found["items"])
    assert len(found["items"]) == sum(score >= least for score in scores)
    assert found["min_score"]["fewer"]
    assert found["min_score"]["removed"] >= 30 - len(found["items"])
    assert found["next"] is None
    assert "min_score" not in ask(api, surface, n=3).json()
    full = ask(api, surface, n=3, min_score=-1e9).json()
    assert full["min_score"] == {"removed": 0, "fewer": False}


@pytest.mark.parametrize("surface", PATHS)
def test_a_least_score_that_nothing_has_leaves_an_empty_answer(api: Api, surface: str) -> None:
    found = ask(api, surface, n=5, min_score=1e9).json()
    assert (found["items"], found["min_score"]["fewer"], found["degraded"]) == ([], True, [])


@pytest.mark.parametrize("surface", PATHS)
def test_a_dry_run_is_not_logged_as_shown_and_the_same_otherwise(api: Api, surface: str) -> None:
    dry, real = ask(api, surface, n=5, dry_run=True), ask(api, surface, n=5)
    assert ids(dry) == ids(real)
    api.run(api.services.impressions.stop())
    logged = [event.request_id for _, event in api.log.stored if isinstance(event, Impression)]
    assert logged == ([real.json()["request_id"]] if surface in {*PERSONAL, "cart"} else [])


@pytest.mark.parametrize("surface", PATHS)
def test_another_time_needs_the_key_and_is_not_far_away(api: Api, keyed: Api, surface: str) -> None:
    answer = ask(api, surface, at="2026-01-01T00:00:00Z")
    assert answer.status_code == 403
    assert "FRESHET_API_KEY" in answer.json()["detail"]
    for days in (-91, 91):
        answer = ask(keyed, surface, at=now_ms() + days * DAY)
        assert answer.json()["errors"] == [{"name": "at", "detail": "must be at most 90 days from now"}]
    for days in (-89, 0, 89):
        found = ask(keyed, surface, n=5, at=now_ms() + days * DAY)
        assert (len(ids(found)), found.json()["degraded"]) == (5, [])


def test_popularity_is_as_of_the_time_that_is_asked_for(keyed: Api) -> None:
    now = now_ms()
    level = (now - POPULARITY_ORIGIN) / POPULARITY.half_life
    popular(keyed.services.catalogue, {"i1": level + np.log2(80)})
    at = now + POPULARITY.half_life
    assert ask(keyed, "trending", n=1).json()["items"][0]["score"] == pytest.approx(80, rel=1e-3)
    assert ask(keyed, "trending", n=1, at=at).json()["items"][0]["score"] == pytest.approx(40, rel=1e-3)


def test_what_is_new_is_as_of_the_time_that_is_asked_for(keyed: Api) -> None:
    keyed.services.catalogue.put_item(Item("i3", "Title 3", created_at=now_ms() - 10 * DAY))
    codes = []
    for at in (now_ms(), now_ms() + 30 * DAY):
        found = ask(keyed, "home", n=40, at=at).json()["items"]
        codes += [entry["reason"]["code"] for entry in found if entry["item_id"] == "i3"]
    assert codes[0] == "new"
    assert codes[1] != "new"


def test_an_answer_of_another_time_is_not_logged(keyed: Api) -> None:
    ask(keyed, "home", at=now_ms())
    keyed.run(keyed.services.impressions.stop())
    assert [event for _, event in keyed.log.stored if isinstance(event, Impression)] == []


class TwoHeads(Ranker):
    """`click` is the similarity, `buy` its opposite."""

    heads = ("click", "buy")

    def run(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.stack([inputs[:, 0], -inputs[:, 0]], axis=1)


def two_heads(api: Api) -> None:
    services = api.services
    of = services.catalogue
    assert of.model is not None
    space = of.model.parts("home").space
    parts = Parts(space, None, TwoHeads(), {"click": 1.0})  # type: ignore[arg-type]
    found = replace(of.model, surfaces={**of.model.surfaces, "home": parts})
    made = pipeline(of)
    made = type(made)(of.columns, found)
    services.models.variants = replace(services.variants, default=Variant("default", made))


def test_what_is_ranked_by_can_be_asked_for(api: Api) -> None:
    two_heads(api)
    click(api, "i20")
    plain = ask(api, "home", n=40, explain="full").json()["items"]
    asked = ask(api, "home", n=40, objective="click:2,buy:0.5", explain="full").json()["items"]
    turned = ask(api, "home", n=40, objective="buy:1").json()["items"]
    assert {e["item_id"]: e["score"] for e in asked} == pytest.approx(
        {e["item_id"]: 1.5 * e["score"] for e in plain}, abs=1e-4
    )
    assert {e["item_id"]: e["score"] for e in turned} == pytest.approx(
        {e["item_id"]: -e["score"] for e in plain}, abs=1e-4
    )
    assert asked[0]["detail"]["scores"]["click"] == plain[0]["detail"]["scores"]["click"]


def test_a_head_that_the_ranker_has_not_is_refused_with_those_it_has(api: Api) -> None:
    two_heads(api)
    answer = ask(api, "home", objective="click:1,like:1")
    assert answer.json()["errors"] == [
        {"name": "objective", "detail": "'like' is not a head of the ranker; there are: click, buy"}
    ]
    for surface in set(PATHS) - set(PERSONAL):
        heads = "behaviour, content" if surface == "similar" else "score"
        answer = ask(api, surface, objective="click:1")
        assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (
            422, f"'click' is not a head of the ranker; there are: {heads}",
        )  # fmt: skip
        assert ask(api, surface, objective=f"{heads.partition(',')[0]}:2").status_code == 200


def test_without_a_ranker_there_is_no_head(tmp_path: Path) -> None:
    api = Api(tmp_path / "bare")
    api.services.catalogue.put_item(Item("i1"))
    answer = ask(api, "home", objective="score:1")
    assert answer.status_code == 422
    assert "the bundle has none: leave it out" in answer.json()["detail"]
    assert ask(api, "trending", objective="score:1").status_code == 200
    api.close()


@pytest.mark.parametrize("surface", PATHS)
def test_every_answer_says_which_request_and_surface_it_is(api: Api, surface: str) -> None:
    found = [ask(api, surface, n=2).json() for _ in range(2)]
    assert len({each["request_id"] for each in found}) == 2
    assert {each["surface"] for each in found} == {surface}
