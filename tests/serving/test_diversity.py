"""The parameter `diversity` on every surface, over HTTP."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from recommend.rerankers import Tradeoff
from recommend.surfaces import PERSONAL, SURFACES
from schemas.events import Item
from tests.recommend.test_together import bought
from tests.serving.made import Api, popular, unit

N = 60
AT = np.random.default_rng(0).normal(0, 1, (N, 4)).round(3)
VECTORS = {f"i{k}": AT[k].tolist() for k in range(N)}
CALLS: dict[str, tuple[str, dict[str, Any] | None]] = {
    **{name: (f"/v1/users/u1/feed?surface={name}", None) for name in PERSONAL},
    "similar": ("/v1/items/i0/similar", None),
    "trending": ("/v1/trending", None),
    "bought_together": ("/v1/items/i0/bought-together", None),
    "cart": ("/v1/cart", {"items": ["i0"]}),
}
every = pytest.mark.parametrize("surface", CALLS)


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock([Item(f"i{k}") for k in range(N)], VECTORS)
    popular(api.services.catalogue, {f"i{k}": float(N - k) for k in range(N)})
    bought(api.services.catalogue, {"i0": (100.0, {f"i{k}": 1 / (k + 1) for k in range(1, 21)})})


def test_every_surface_is_called_here() -> None:
    elsewhere = {"onboarding"}  # test_onboarding.py: it trades popularity for what an answer tells
    assert {*CALLS} | elsewhere == {surface.name for surface in SURFACES if not surface.reports}


def shown(api: Api, surface: str, **query: Any) -> list[str]:
    path, body = CALLS[surface]
    answer = api.get(path, **query) if body is None else api.post(path, body, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.json().get("degraded", []) == []
    return [entry["item_id"] for entry in answer.json()["items"]]


def distance(item_ids: list[str]) -> float:
    """Mean of 1 - cosine over the pairs of a list, cosines below 0 as 0."""
    at = unit([VECTORS[item_id] for item_id in item_ids])
    return float(np.mean([1 - max(0.0, float(at[a] @ at[b])) for a, b in combinations(range(len(at)), 2)]))


@every
def test_on_every_surface_1_is_more_diverse_than_0(api: Api, surface: str) -> None:
    lists = [shown(api, surface, n=5, diversity=d) for d in (0, 0.5, 1)]
    assert all(len(set(each)) == 5 for each in lists)
    assert lists[0][0] == lists[2][0], "the most relevant is the first of the most diverse list"
    assert distance(lists[0]) <= distance(lists[1]) <= distance(lists[2]) + 0.05
    assert distance(lists[2]) > 0.85, "of 50 at random in 4 dimensions, 5 are found that are nearly unrelated"


@every
def test_on_every_surface_0_is_the_order_of_scores(api: Api, surface: str) -> None:
    path, body = CALLS[surface]
    query = {"n": 10, "diversity": 0, "explain": "full"}
    found = (api.get(path, **query) if body is None else api.post(path, body, params=query)).json()
    scores = [entry["score"] for entry in found["items"]]
    assert scores == sorted(scores, reverse=True)
    tradeoffs = {each.name for own in SURFACES for each in own.rerankers if isinstance(each, Tradeoff)}
    assert tradeoffs & {stage["stage"] for stage in found["trace"]} == set()


@every
def test_left_out_it_is_what_the_surface_has(api: Api, surface: str) -> None:
    stages = next(found for found in SURFACES if found.name == surface).rerankers
    (own,) = (each for each in stages if isinstance(each, Tradeoff))
    assert shown(api, surface, n=10) == shown(api, surface, n=10, diversity=own.diversity)


@every
def test_what_it_cannot_be_is_named(api: Api, surface: str) -> None:
    path, body = CALLS[surface]
    query = {"diversity": "much"}
    answer = api.get(path, **query) if body is None else api.post(path, body, params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"name": "diversity", "detail": "must be a number from 0 to 1"}
    ]  # fmt: skip
