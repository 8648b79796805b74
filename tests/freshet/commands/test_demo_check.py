from collections.abc import Callable
from typing import Any

import httpx
import pytest
from rich.console import Console

from freshet.commands import demo_check
from freshet.settings import Settings
from schemas.events import Interaction, Item
from training.datasets import Dataset

FEED = {"items": [{"item_id": f"c{n}", "item": {"title": f"c{n}", "categories": ["comedy"]}} for n in range(10)]}
DATASET = Dataset(
    [Item(f"{kind[0]}{n}", title=f"{kind} {n}", categories=[kind]) for kind in ("comedy", "horror") for n in range(60)],
    [],
    [
        Interaction(f"e{n}", "rating", "u1", 1_700_000_000_000 + n, item_id=f"h{n}", properties={"rating": 4})
        for n in range(5)
    ],
)
Answer = Callable[[httpx.Request], httpx.Response]


def server(after: list[dict[str, Any]]) -> tuple[list[str], Answer]:
    clicked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            import json

            clicked.extend(event["item_id"] for event in json.loads(request.content))
            return httpx.Response(202, json={"accepted": 3, "token": "t1", "rejected": []})
        items = after if request.url.params.get("after") == "t1" else FEED["items"]
        return httpx.Response(200, json={"items": items, "freshness": {"last_event_at": 1}})

    return clicked, answer


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ({"item_id": "h40", "reason": {"item_id": "h5", "text": "Because you watched horror 5"}}, 0),
        ({"item_id": "h40", "reason": {"text": "Popular"}}, 1),
        ({"item_id": "c1", "reason": {"item_id": "h5", "text": "Because you watched horror 5"}}, 1),
    ],
    ids=["new and because of a click", "new for another reason", "nothing new"],
)
def test_only_a_change_because_of_the_clicks_counts(
    first: dict[str, Any], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicked, answer = server([first, *FEED["items"][2:]])
    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: client(**options, transport=httpx.MockTransport(answer)))
    monkeypatch.setattr(demo_check.time, "sleep", lambda _: None)
    assert demo_check.check(Settings(), DATASET, Console(quiet=True)) == status
    assert clicked == ["h5", "h6", "h7"]  # horror, which the feed does not show, and not seen before
