"""`freshet demo --check`: three clicks of a real user change that user's feed, and the feed gives the reasons."""

import time
import uuid
from collections import Counter
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from freshet.errors import NotReady
from freshet.settings import Settings
from schemas.clock import now_ms
from schemas.events import Item
from training.datasets import Dataset

SHOWN = 10
CLICKS = 3
_DEADLINE = 300.0
_TYPICAL = 100  # ratings of the person we look for: enough to know their taste


def check(settings: Settings, dataset: Dataset, console: Console) -> int:
    """Print a person's feed before and after three clicks; returns 0 if the clicks changed it, else 1."""
    user = _person(dataset)
    headers = {"X-API-Key": settings.api_key.get_secret_value()} if settings.api_key else {}
    with httpx.Client(base_url=settings.http_url, headers=headers, timeout=30, trust_env=False) as client:
        before = _known_feed(client, user)
        clicked = _unlike(dataset, user, before)
        token, took = _click(client, user, clicked)
        began = time.perf_counter()
        after = _feed(client, user, after=token)
        took += time.perf_counter() - began
    titles = ", ".join(item.title or item.item_id for item in clicked)
    _show(console, f"Feed of user {user} before", before, ())
    console.print(f"\n{user} clicks: {titles}\n")
    known = {entry["item_id"] for entry in before["items"]}
    fresh = [entry["item_id"] for entry in after["items"] if entry["item_id"] not in known]
    _show(console, f"Feed of user {user} after ({took * 1000:.0f} ms from the clicks to the new feed)", after, fresh)
    chosen = {item.item_id for item in clicked}
    because = [entry for entry in after["items"] if entry.get("reason", {}).get("item_id") in chosen]
    if fresh and because:
        console.print(f"\n{len(fresh)} films are new, {len(because)} items of the feed have a click as their reason")
        return 0
    console.print("\n[red]the feed did not change because of the clicks[/red]")
    return 1


def _person(dataset: Dataset) -> str:
    ratings = Counter(event.user_id for event in dataset.interactions)
    return min(ratings, key=lambda user: (abs(ratings[user] - _TYPICAL), user))


def _known_feed(client: httpx.Client, user: str) -> dict[str, Any]:
    """The feed once the job has read the person's events, which takes a while after a start.

    No feed is requested before that: its impression would be an event of today, by which the person's events of 1998
    would be too late.
    """
    deadline = time.monotonic() + _DEADLINE
    while not _last_event(client, user) and time.monotonic() < deadline:
        time.sleep(1)
    earlier: list[str] | None = None
    while time.monotonic() < deadline:
        feed = _feed(client, user)
        shown = [entry["item_id"] for entry in feed["items"]]
        if feed["freshness"]["last_event_at"] and shown == earlier:
            return feed
        earlier = shown
        time.sleep(2)
    raise NotReady(f"the feed of user {user} did not settle within {_DEADLINE:.0f} s")


def _last_event(client: httpx.Client, user: str) -> int | None:
    answer = client.get(f"/v1/users/{user}/features").raise_for_status()
    found: int | None = answer.json()["freshness"]["last_event_at"]
    return found


def _feed(client: httpx.Client, user: str, **query: str) -> dict[str, Any]:
    answer = client.get(f"/v1/users/{user}/feed", params={"n": str(SHOWN), "explain": "reason", **query})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def _unlike(dataset: Dataset, user: str, feed: dict[str, Any]) -> list[Item]:
    """The best known films that this person has not seen, of the category that the feed shows least."""
    shown = Counter(c for entry in feed["items"] for c in entry.get("item", {}).get("categories", ()))
    seen = {event.item_id for event in dataset.interactions if event.user_id == user}
    seen |= {entry["item_id"] for entry in feed["items"]}
    known = Counter(event.item_id for event in dataset.interactions)
    sizes = Counter(category for item in dataset.items for category in item.categories)
    common = [category for category, size in sizes.items() if size >= 50]
    category = min(common, key=lambda name: (shown[name], -sizes[name], name))
    films = [item for item in dataset.items if category in item.categories and item.item_id not in seen]
    return sorted(films, key=lambda item: -known[item.item_id])[:CLICKS]


def _click(client: httpx.Client, user: str, items: list[Item]) -> tuple[str, float]:
    now = now_ms()
    events = [
        {"event_id": uuid.uuid4().hex, "event_type": "click", "user_id": user, "item_id": item.item_id}
        | {"timestamp": now + position, "properties": {"surface": "home"}}
        for position, item in enumerate(items)
    ]
    began = time.perf_counter()
    receipt = client.post("/v1/events", json=events).raise_for_status().json()
    return receipt["token"], time.perf_counter() - began


def _show(console: Console, title: str, feed: dict[str, Any], fresh: list[str] | tuple[()]) -> None:
    table = Table("", "film", "genres", "why", title=title, title_justify="left", box=None, header_style="bold")
    for rank, entry in enumerate(feed["items"], 1):
        item = entry.get("item", {})
        mark = "[green]new[/green]" if entry["item_id"] in fresh else str(rank)
        genres = ", ".join(item.get("categories", ()))
        table.add_row(mark, item.get("title") or entry["item_id"], genres, entry.get("reason", {}).get("text", ""))
    console.print(table)
