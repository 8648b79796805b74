"""Item columns and people's rows at any moment of a replay, as a server would have them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feature_repo.builders import served
from feature_repo.candidates import Pairs
from feature_repo.columns import ItemColumns
from feature_repo.repository import Repository
from operators.contract import Signal
from operators.features.declared import part_of
from training.replay import Replay


class LiveColumns:
    """The item columns of a replay in progress.

    Rows are made when columns are read, not at each event: a part is made again if a signal arrived or one of its
    timers passed since it was last made. The result equals that of writing every row.
    """

    def __init__(self, replay: Replay, columns: ItemColumns, declared: Repository) -> None:
        """`declared` are the features and crosses that the replay computes in addition to the main path."""
        self.replay = replay
        self.columns = columns
        self._served = served(declared)
        self._parts = {part_of(value.entity.name) for value in declared.reads.item}
        self._stale: set[tuple[str, str]] = set()
        self._timers: list[tuple[int, tuple[str, str]]] = []
        self._due: dict[tuple[str, str], int] = {}

    def invalidate(self, signals: Iterable[Signal] | None) -> None:
        """Marks the rows that these signals changed as stale; `signals` is what `Replay.feed` returned."""
        for event in signals or ():
            if not event.item_id:
                continue
            self._stale.add((event.item_id, ""))
            if event.region:
                self._stale.add((event.item_id, event.region))
            self._stale.update((event.item_id, part) for part in self._parts)

    def at(self, time: int) -> ItemColumns:
        """The columns as of `time`, epoch ms, which never decreases between calls."""
        while self._timers and self._timers[0][0] <= time:
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:  # else a later signal has moved the timer
                self._stale.add(key)
        operator = self.replay.item_operator
        for key in self._stale:
            item_id, part = key
            state = self.replay.items[key]
            row = operator.row(item_id, part, state, time)
            if fields := self._served[row.view]:
                self.columns.put_values(item_id, {name: row.values[place] for place, name in fields})
            else:
                self.columns.put_features(row)
            next_due = operator.due(part, state, time)
            self._due[key] = next_due or 0
            if next_due is not None:
                heapq.heappush(self._timers, (next_due, key))
        self._stale.clear()
        return self.columns


class LivePeople:
    """People's rows in a replay in progress, with the declared features that crosses read in them."""

    def __init__(self, replay: Replay, declared: Repository) -> None:
        """`declared` are the features and crosses that the replay computes in addition to the main path."""
        self._replay = replay
        self._reads = declared.reads
        self._entity_of = {entity.view: entity for entity in declared.features}
        self._names = {entity.view: [f.name for f in declared.view(entity).fields] for entity in declared.features}

    def row(self, user_id: str, at: int) -> dict[str, Any]:
        """Field name, or `Value.key` of a declared one → value as of `at`."""
        return self._replay.user_row(user_id, at) | self.declared(user_id, at)

    def declared(self, user_id: str, at: int) -> dict[str, Any]:
        """The declared features alone; none for a person without events."""
        return {
            f"{view}:{name}": value
            for view in dict.fromkeys(value.entity.view for value in self._reads.user)
            for name, value in self._declared(user_id, view, "", at).items()
        }

    def watermark(self, user_id: str) -> int:
        """The latest event time of the person; 0 where none has been seen."""
        state = self._replay.users.get((user_id, ""))
        return state.watermark if state else 0

    def pairs(self, user_id: str, at: int) -> Pairs:
        """The person's rows of pairs as of `at`."""

        def read(view: str, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
            return {name: found for name in names if (found := self._declared(user_id, view, name, at))}

        return read

    def _declared(self, user_id: str, view: str, second: str, at: int) -> Mapping[str, Any]:
        """Field name → value; none where the part has no events."""
        part = part_of(self._entity_of[view].name, second)
        state = self._replay.users.get((user_id, part))
        if state is None:
            return {}
        values = self._replay.user_operator.row(user_id, part, state, at).values
        return dict(zip(self._names[view], values, strict=True))
