"""What an answer leaves to be done once it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message

from schemas.events import Item
from tests.serving.made import Api
from tests.serving.surfaces import ANCHOR, stock

GETS = {
    "home": "/v1/users/u1/feed",
    "page": "/v1/users/u1/page",
    "similar": f"/v1/items/{ANCHOR}/similar",
    "bought_together": f"/v1/items/{ANCHOR}/bought-together",
    "trending": "/v1/trending",
}


def observed(api: Api, surface: str) -> float:
    """How many answers of the surface the metrics have."""
    labels = {"surface": surface, "stage": "total" if surface in ("home", "page") else "rank"}
    found = api.services.metrics.registry.get_sample_value("freshet_stage_seconds_count", labels)
    return found or 0.0


@pytest.mark.parametrize("surface", GETS)
def test_an_answer_is_sent_before_it_is_counted_and_logged(api: Api, surface: str) -> None:
    stock(api, [Item(f"i{k}", f"Title {k}") for k in range(5)], {f"i{k}": [1, k, 0, 0] for k in range(5)})
    app, path = api._client._transport.app, GETS[surface]  # type: ignore[attr-defined]
    before: list[tuple[float, int]] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            before.append((observed(api, surface), len(api.services.impressions)))

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
        "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("server", 80), "client": ("client", 1),
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    api.run(app(scope, receive, send))
    assert before == [(0.0, 0)]
    assert observed(api, surface) == 1.0
    assert (len(api.services.impressions) > 0) is (surface in ("home", "page"))
