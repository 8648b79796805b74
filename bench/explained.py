"""Feeds with explain=events, compared with feeds without it, in process."""

from __future__ import annotations

import random
import time

from bench.filters import FilteredCatalogue
from recommend.query import Explain
from recommend.surfaces import home

FIGURE = "explain_events_to_feed"
ASKED: tuple[Explain, ...] = ("reason", "events")


def in_turns(
    world: FilteredCatalogue, chance: random.Random, clock: int, requests: int
) -> tuple[list[list[float]], set[str]]:
    """Milliseconds of (feeds, feeds with the events that moved each item), both of the same people in turn, and what
    failed, in words. Each person of the bench has a history of more events than are left out."""
    found: list[list[float]] = [[] for _ in ASKED]
    failed: set[str] = set()
    for k in range(requests):
        person = chance.choice(world.people)
        for explain, ms in zip(ASKED, found, strict=True):
            started = time.perf_counter()
            query = world.pipeline.query(
                at=clock + k * 1000, user=person, n=20, depth=home.paging.depth, region="DE", explain=explain
            )
            answer = world.pipeline.recommend(home, query)
            ms.append((time.perf_counter() - started) * 1000)
            failed |= {f"explain={explain}: {each.stage}: {each.failed}" for each in answer.trace if each.failed}
            if explain == "events" and not (answer.moved and any(answer.moved.effects)):
                failed.add("explain=events names no event")
    return found, failed
