"""A person's row as it would be without one of their last interactions.

A decayed sum takes an event back by an update with the opposite weight: the user vector and the affinities are exact to
within the precision of the row, for as many events as there have been. The last interactions and the session are made
anew from those that are left of the row's 50.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from operators.contract import Aggregation, Signal, Space, View
from operators.decay import AffinityHead, AffinityShares, AffinitySharesState
from operators.history import CurrentSession, Recent
from operators.keyed import UserOperator
from operators.vector import EMPTY, UserVector, VectorState
from schemas.events import Item

RECENTS = ("recent_times", "recent_items", "recent_types", "recent_tastes")
NOTHING_LEFT = 1e-5
"""share of the length of what was taken back, below which the rest of a sum is what rounding has left of it: a row has
the vector in float32"""


class _SpaceAndItems:
    def __init__(self, space: Space, item: Callable[[str], Item | None]) -> None:
        self.space, self.item = space, item


class LeaveOut:
    """Leaves out one interaction at a time of one row of `view`, whose vector is in `space`."""

    def __init__(
        self, view: View[Any], row: Mapping[str, Any], space: Space, item: Callable[[str], Item | None], at: int
    ) -> None:
        """`row` is field name → value, and is read as of `at`, epoch ms. Raises StateError where its state is of
        another declaration."""
        self._row, self._at = row, at
        self._world = _SpaceAndItems(space, item)
        operator = UserOperator(view, self._world)
        state = operator.of_row(row)
        operator.embed(state, space)  # the row may have been taken into another space than its state is in
        # The opposite of an event: read anew for each, and made once, as it takes long to make a declaration.
        self._opposite: dict[str, float] = {}
        self._vectors: list[tuple[UserVector, VectorState]] = []
        self._affinities: list[tuple[AffinityShares, AffinitySharesState]] = []
        self._sessions: list[CurrentSession] = []
        for aggregation, state_of in zip(view.aggregations, state.parts, strict=True):
            if type(aggregation) is UserVector:
                self._vectors.append((replace(aggregation, weights=self._opposite), state_of))
            elif type(aggregation) is AffinityShares:
                aggregation.values(state_of, at)  # sorts the sums once for all events
                self._affinities.append((replace(aggregation, weights=self._opposite), state_of))
            elif type(aggregation) is CurrentSession:
                self._sessions.append(aggregation)

    def __len__(self) -> int:
        """How many interactions there are to leave out."""
        return len(self._row["recent_items"])

    def without(self, place: int) -> dict[str, Any]:
        """The fields of the row that change without the interaction at `place`, 0 for the latest."""
        row = self._row
        time, item_id, kind, taste = (row[name][place] for name in RECENTS)
        item = self._world.item(item_id)
        categories, brand = (item.categories, item.brand or "") if item else ((), "")
        signal = Signal(kind, int(time), item_id, categories=categories, brand=brand)
        left = {name: [*row[name][:place], *row[name][place + 1 :]] for name in RECENTS}
        changed: dict[str, Any] = dict(left)

        def put(aggregation: Aggregation[Any], values: tuple[Any, ...]) -> None:
            changed.update(zip((f.name for f in aggregation.fields), values, strict=True))

        if taste:
            self._opposite.clear()
            self._opposite[kind] = -float(taste)  # a rating's stars are in it
            for vector, sums in self._vectors:
                numbers, space = vector.values(self._vector(vector, sums, signal), self._at)
                put(vector, (np.asarray(numbers, np.float32), space))
            for affinity, shares in self._affinities:
                if getattr(signal, affinity.of):
                    put(affinity, affinity.values(self._affinity(affinity, shares, signal), self._at))
        if row["session_start"] and time >= row["session_start"]:
            for session in self._sessions:
                put(session, self._session(session, left))
        return changed

    def _vector(self, opposite: UserVector, state: VectorState, signal: Signal) -> VectorState:
        alone, found = opposite.new(), VectorState(state.space, state.origin, state.sum, [])
        opposite.update(found, signal, self._world)
        opposite.update(alone, signal, self._world)
        if alone.sum:
            factor = 2.0 ** ((alone.origin - found.origin) / opposite.half_life)
            if _length(found.sum) < NOTHING_LEFT * factor * _length(alone.sum):
                found.sum = EMPTY
        return found

    def _affinity(self, opposite: AffinityShares, state: AffinitySharesState, signal: Signal) -> AffinitySharesState:
        ranked = None if state.ranked is None else list(state.ranked)
        found = AffinitySharesState(AffinityHead(state.head.origin, {}), dict(state.sums), ranked=ranked, read=True)
        opposite.update(found, signal, self._world)
        for name in found.head.changed:
            after, before = found.sums.get(name), state.sums.get(name)
            if after is not None and (before is None or abs(after) <= NOTHING_LEFT * abs(before)):
                del found.sums[name]
                found.ranked = None
        return found

    def _session(self, aggregation: CurrentSession, left: Mapping[str, list[Any]]) -> tuple[Any, ...]:
        """The session of the interactions that are left of it. Where none is, that of those before, as far as gaps
        between them say: the row does not have their session ids."""
        row, state = self._row, aggregation.new()
        entries = list(zip(*(left[name] for name in RECENTS[:3]), strict=True))[::-1]
        own = [entry for entry in entries if entry[0] >= row["session_start"]]
        # The app's id, not one that was made of the time of the first event.
        given = row["session_id"] if own and row["session_id"] != f"s-{row['session_start']}" else ""
        for time, item_id, kind in own or entries:
            item = self._world.item(item_id)
            categories = item.categories if item else ()
            signal = Signal(kind, int(time), item_id, session_id=given, categories=categories)
            aggregation.update(state, signal, self._world)
        return aggregation.values(state, self._at)


def _length(total: bytes) -> float:
    numbers = np.frombuffer(total)
    return math.sqrt(numbers @ numbers)


def kept_by(view: View[Any]) -> int:
    """How many of the last interactions a row has."""
    return next(a.k for a in view.aggregations if isinstance(a, Recent))
