"""Logs of signals as they arrive: mostly in order, some late, some twice, some at the same instant."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
import numpy as np
from hypothesis import strategies as st

from operators.contract import CellAggregation, Signal, Space, Vector
from operators.space import EmptySpace
from operators.time import DAY, HOUR, MINUTE, SECOND
from schemas.events import EVENT_TYPES, Item

T0 = 1_767_225_600_000
"""2026-01-01, a multiple of every tile"""

CATEGORIES = ("c0", "c1", "c2", "c3", "c4", "c5", "c6")
ITEMS = tuple(f"i{n}" for n in range(8))

T = TypeVar("T")

TWICE = None
gaps = st.sampled_from(
    [0, 1, SECOND, 15 * SECOND, MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE + 1, HOUR, 5 * HOUR, DAY]
)
lateness = st.sampled_from([0, 0, 0, 0, 1, 10 * SECOND, 25 * MINUTE, 2 * HOUR, DAY, TWICE])


@cache
def _said(types: Sequence[str]) -> list[Signal]:
    """Things that may be said, at no time yet: few draws a signal keep hypothesis quick."""
    rng = random.Random(1)
    return [
        Signal(
            rng.choice(types),
            0,
            rng.choice(("", *ITEMS)),
            session_id=rng.choice(["", "", "", "a", "b"]),
            categories=[rng.choice(CATEGORIES) for _ in range(rng.randrange(4))],
            brand=rng.choice(["", "b0", "b1", "b2"]),
            partition=2,
            rating=rng.choice([None, 0.5, 1.0, 2.5, 3.0, 5.0]),
        )
        for _ in range(200)
    ]


def exactly(n: int, elements: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    """Lists left to themselves are mostly short."""
    return st.lists(elements, min_size=n, max_size=n)


@st.composite
def logs(draw: st.DrawFn, types: Sequence[str] = EVENT_TYPES, most: int = 30) -> list[Signal]:
    """Up to `most` signals in order of arrival, each at most a day late, and some of them twice."""
    clock = T0 + draw(st.sampled_from([0, 1, 7 * HOUR + 13, DAY - 1]))
    said = st.sampled_from(_said(tuple(types)))
    found: list[Signal] = []
    for gap, late, signal in draw(exactly(draw(st.integers(0, most)), st.tuples(gaps, lateness, said))):
        clock += gap
        if late is TWICE and found:
            found.append(found[gap % len(found)])
        else:
            found.append(signal._replace(timestamp=clock - (late or 0), offset=len(found)))
    return found


later = st.sampled_from([0, 0, 1, MINUTE, 31 * MINUTE, HOUR, DAY, 8 * DAY])
"""how long after the latest signal values are read"""


class Anywhere:
    """A world without a catalogue, whose space may be changed."""

    def __init__(self, space: Space | None = None) -> None:
        self.space: Space = space or EmptySpace()

    def item(self, item_id: str) -> Item | None:
        return None


class MadeSpace:
    """Random unit vectors; the last of ITEMS is unknown."""

    def __init__(self, id: str, dim: int = 5, seed: int = 0) -> None:
        self.id, self.dim = id, dim
        found = np.random.default_rng(seed).normal(size=(len(ITEMS), dim))
        self._vectors = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    def vector(self, item_id: str) -> Vector | None:
        return None if item_id == ITEMS[-1] else self._vectors[ITEMS.index(item_id)]


def latest(signals: Sequence[Signal]) -> int:
    return max((s.timestamp for s in signals), default=T0)


def saved(aggregation: CellAggregation[Any], state: Any) -> Any:
    """The state as it comes back from Flink's."""
    head, cells = aggregation.split(state)
    packed = msgspec.msgpack.encode(head)
    return aggregation.join(msgspec.msgpack.decode(packed, type=aggregation.head), dict(cells))


def run(
    aggregation: CellAggregation[Any], signals: Sequence[Signal], world: Anywhere | None = None, save: int = 7
) -> Any:
    """The state after the signals; every `save` signals it is saved and restored."""
    world = world or Anywhere()
    state = aggregation.new()
    for n, signal in enumerate(signals):
        aggregation.update(state, signal, world)
        if n % save == 0:
            state = saved(aggregation, state)
    return state


def changes(aggregation: CellAggregation[Any], state: Any, at: int, most: int = 400) -> list[int]:
    """The times after `at` at which the aggregation says that its values change, checked one by one: they hold
    until the millisecond before, change then, and hold for ever after the last."""
    found: list[int] = []
    values = aggregation.values(state, at)
    while (due := aggregation.due(state, at)) is not None:
        assert due > at
        assert aggregation.values(state, (at + due) // 2) == values
        assert aggregation.values(state, due - 1) == values
        at, values, before = due, aggregation.values(state, due), values
        assert values != before
        found.append(due)
        assert len(found) < most
    assert aggregation.values(state, at + 1000 * DAY) == values
    return found
