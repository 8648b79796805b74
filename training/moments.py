"""The moments of a log that the ranker learns from, as event numbers: a request just before each of those events."""

from __future__ import annotations

import numpy as np

from operators.time import minutes
from schemas.events import NO_BEHAVIOUR
from training.accepted import Log

VISIT_GAP = minutes(30)
FEW = 500
"""moments that a log gives even if it has fewer visits"""


def sample(log: Log, start: int, limit: int, seed: int) -> list[int]:
    """Event numbers from `start` on: the beginning of each visit and one moment within it.

    One of each for a visit of any length, so that very active people do not dominate; beginnings as well as
    middles, since a returning person has no session yet. A short log gives FEW moments even so, the others drawn from
    all events.
    """
    visits: list[list[int]] = []
    latest: dict[str, tuple[int, list[int]]] = {}
    for number, event in enumerate(log.interactions):
        if event.event_type in NO_BEHAVIOUR:
            continue
        seen = latest.get(event.user_id)
        if seen and event.timestamp <= seen[0] + VISIT_GAP:
            visit = seen[1]
        else:
            visit = []
            visits.append(visit)
        visit.append(number)
        latest[event.user_id] = event.timestamp, visit
    chance = np.random.default_rng(seed)
    begun = [visit for visit in visits if visit[0] >= start]
    chosen = chance.permutation(len(begun))[: limit // 2]
    moments = {begun[k][0] for k in chosen}
    moments |= {int(chance.choice(begun[k][1:])) for k in chosen if len(begun[k]) > 1}
    left = np.setdiff1d(np.arange(start, len(log.interactions)), list(moments))
    return sorted([*moments, *chance.permutation(left)[: max(0, min(FEW, limit) - len(moments))].tolist()])
