"""Groups of people who have met a given number of items within the deduplication window."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from feast import FeatureStore

from bench.errors import Unsound
from bench.stacks import send
from bench.written import NOTHING, Written
from feature_repo.store import config
from freshet.settings import Settings
from operators.time import HOUR
from schemas.clock import now_ms
from schemas.events import Interaction

FEWEST_PEOPLE = 10
GROWTH = 0.2
"""greatest share by which the events of a run lengthen a person's history"""
NEWEST_MS, OLDEST_MS = 8 * HOUR, 20 * HOUR
"""age of the history: within the deduplication window, and of no tile that expires during a run"""
DEADLINE_S = 900.0


@dataclass
class PeopleGroup:
    """People who have met `length` items, and their measurements."""

    length: int
    users: list[str]
    chance: random.Random
    events: int = 0
    cost_s: float = 0.0
    job_s: float = 0.0
    wall_s: float = 0.0
    written: Written = NOTHING
    net_input: int = 0
    feeds: list[float] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)


def groups(lengths: Sequence[int], events: int) -> list[PeopleGroup]:
    """The groups, each with so many people that `events` of the group lengthen nobody's history by more than GROWTH."""
    found = []
    for length in lengths:
        n = max(FEWEST_PEOPLE, math.ceil(events / (length * GROWTH)))
        found.append(PeopleGroup(length, [f"p{length}-{k}" for k in range(n)], random.Random(length)))
    return found


def meet(settings: Settings, found: Sequence[PeopleGroup], n_items: int) -> int:
    """Sends the views by which each person has met as many distinct items as their group says, in order of time.
    Returns how many there are."""
    now = now_ms()
    steps = max(group.length for group in found)
    sent = 0

    def views() -> Any:
        nonlocal sent
        for step in range(steps):
            at = now - OLDEST_MS + (OLDEST_MS - NEWEST_MS) * step // steps
            for group in found:
                if step % (steps // group.length) or step // (steps // group.length) >= group.length:
                    continue
                for k, user in enumerate(group.users):
                    sent += 1
                    yield Interaction(f"h{sent}", "view", user, at, f"i{(step + k * 131) % (n_items // 2)}")

    send(settings, views())
    return sent


def met(settings: Settings, found: Sequence[PeopleGroup]) -> dict[int, float]:
    """Mean number of events of a person in the last seven days by group, by a stock Feast client."""
    store: Any = FeatureStore(config=config(settings.feature_store))
    means = {}
    for group in found:
        deadline = time.monotonic() + DEADLINE_S
        rows = [{"user_id": user} for user in group.users]
        while True:
            counts = store.get_online_features(["user_activity:events_7d"], rows).to_dict()["events_7d"]
            means[group.length] = sum(sum(each or ()) for each in counts) / len(counts)
            if means[group.length] >= group.length:
                break
            if time.monotonic() > deadline:
                raise Unsound(f"people have met {means[group.length]:.0f} items instead of {group.length}")
            time.sleep(1)
    return means
