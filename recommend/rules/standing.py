"""What the rules leave to others once they have arranged an answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from feature_repo.columns import Mask, Rows
from recommend.among import among
from recommend.query import Query
from recommend.rules.caps import counters
from recommend.rules.stages import ARRANGED


class Standing(NamedTuple):
    """Which items of an answer (n,) a rule has placed, which of some other items (k,) may take the place of those that
    none has, and whether one of them alone may."""

    placed: Mask
    free: Mask
    one: bool


def standing(query: Query, shown: Rows, others: Rows) -> Standing:
    """Of an answer with the items at `shown` (n,), and the items at `others` (k,). No rule that promotes, buries, pins,
    sponsors or limits gives another result with an item that is free in the place of one that is not placed."""
    n, rows = len(shown), np.concatenate([shown, others])
    touched, allowed = np.zeros(len(rows), bool), np.ones(len(others), bool)
    if not (query.has_rules and ARRANGED.applies(query)):
        return Standing(touched[:n], allowed, False)
    ruling, plan = query.ruling, query.ruling.plan
    bits = ruling.bits(rows)
    touched |= among(rows, np.sort(query.columns.rows(plan.pins))) | among(
        rows, np.sort(np.array(list(ruling.marks), int))
    )
    touched |= plan.net_places(bits) != 0
    for each in (*plan.single, *plan.ends, *plan.shares):
        touched[ruling.positions(each, rows, bits)] = True
    caps = counters(query, rows, bits)
    for cap in caps:
        for place in range(n):
            cap.add(place, 0)
        allowed &= [cap.allows(n + place, 0) for place in range(len(others))]
    return Standing(touched[:n], allowed & ~touched[n:], bool(caps))
