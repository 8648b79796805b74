"""The whole stack with a small catalogue, people who each love one genre, and a model trained on them.

The fixture `live` is imported by tests/conftest.py alone: pytest takes an imported fixture for one more of the name,
and each would start a stack.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest

from feature_repo import registry
from freshet.local.ports import free_ports
from freshet.local.stack import Stack
from freshet.settings import Settings
from schemas.events import Event, User
from tests.logs import made_log
from training.examples import Log
from training.train import train

BATCH = 1000


@dataclass
class Live:
    """A running stack and its server's HTTP."""

    stack: Stack
    http: httpx.Client
    log: Log

    def post(self, kind: str, documents: Any) -> dict[str, Any]:
        """Posts one document or a list. The receipt; raises where the answer is an error."""
        answer = self.http.post(f"/v1/{kind}", json=documents)
        assert answer.status_code == 202, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def event(self, user: str, kind: str, item: str | None, **others: Any) -> dict[str, Any]:
        """The document of an interaction that happens now."""
        return {
            "event_id": uuid.uuid4().hex, "event_type": kind, "user_id": user, "item_id": item,
            "timestamp": int(time.time() * 1000), **others,
        }  # fmt: skip

    def feed(self, user: str, **query: Any) -> dict[str, Any]:
        """A feed."""
        answer = self.http.get(f"/v1/users/{user}/feed", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def whole_feed(self, user: str, **query: Any) -> dict[str, Any]:
        """A feed for which no stage fell back. On a busy machine a read of Redis now and then takes longer than its
        50 ms; the feed is then asked for again."""

        def ask() -> dict[str, Any] | None:
            found = self.feed(user, **query)
            return found if found["degraded"] == [] else None

        return until(ask)  # type: ignore[no-any-return]

    def features(self, user: str) -> dict[str, Any]:
        """A person's features."""
        return self.http.get(f"/v1/users/{user}/features").raise_for_status().json()  # type: ignore[no-any-return]

    def written(self, user: str) -> bool:
        """Whether the job has written everything of the person that the server has accepted: before that the server's
        answers have events that nobody else finds in the store."""
        return bool(self.features(user)["freshness"]["lag_ms"] == 0)


def ids(feed: dict[str, Any]) -> list[str]:
    """Item ids of a feed, in its order."""
    return [entry["item_id"] for entry in feed["items"]]


def until(check: Callable[[], Any], seconds: float = 30) -> Any:
    """What `check` gives once that is true. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def end(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Stops a process, by force where it has not ended after `seconds`: no other is left running because of it."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _documents(events: list[Event]) -> list[dict[str, Any]]:
    return msgspec.to_builtins(events)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = Settings(home=tmp_path_factory.mktemp("live"), list_users=True, **free_ports())
    log = made_log(films=300)
    train(log.interactions, log.items, settings.bundles, declared=registry.declared())
    people = [User(f"u{n}", {"age": 20 + n}) for n in range(40)]
    with Stack(settings, report=print) as stack:
        stack.up()
        with httpx.Client(base_url=settings.http_url, timeout=30, trust_env=False) as client:
            live = Live(stack, client, log)
            live.post("items", _documents(list(log.items)))
            live.post("users", _documents(list(people)))
            events = _documents(list(log.interactions))
            for start in range(0, len(events), BATCH):
                live.post("events", events[start : start + BATCH])
            until(lambda: all(live.written(f"u{n}") for n in range(40)), 60)
            assert all(len(live.features(f"u{n}")["recent"]) == 20 for n in range(40))
            yield live
