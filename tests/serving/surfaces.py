"""One call of every surface that finds items, over the same world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from operators.decay import POPULARITY_ORIGIN
from recommend.rankers.popularity import POPULARITY
from recommend.surfaces import PERSONAL
from schemas.clock import now_ms
from schemas.events import Item
from tests.recommend.test_together import bought
from tests.serving.made import Api, popular

ANCHOR = "anchor"
PATHS = {
    **dict.fromkeys(PERSONAL, "/v1/users/u1/feed"),
    "similar": f"/v1/items/{ANCHOR}/similar",
    "trending": "/v1/trending",
    "onboarding": "/v1/onboarding",
    "bought_together": f"/v1/items/{ANCHOR}/bought-together",
    "cart": "/v1/cart",
}
"""surface → path"""


def ask(api: Api, surface: str, **query: Any) -> httpx.Response:
    """The answer of a surface."""
    if surface == "cart":
        return api.post(PATHS["cart"], {"items": [ANCHOR], "user_id": "u1"}, params=query)
    if surface in PERSONAL:
        query["surface"] = surface
    return api.get(PATHS[surface], **query)


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["item_id"] for entry in answer.json()["items"]]


def stock(api: Api, items: Sequence[Item], vectors: Mapping[str, Sequence[float]], version: str = "v1") -> None:
    """Items that every surface finds: with vectors, popular, and bought with ANCHOR."""
    api.stock([Item(ANCHOR, "Anchor"), *items], {ANCHOR: [1, 0.5, 0.5, 0.5], **vectors}, version=version)
    catalogue = api.services.catalogue
    now = (now_ms() - POPULARITY_ORIGIN) / POPULARITY.half_life
    popular(catalogue, {item.item_id: now + k / 100 for k, item in enumerate(items)})
    bought(catalogue, {ANCHOR: (9.0, {item.item_id: 1 / (2 + k) for k, item in enumerate(items)})})
