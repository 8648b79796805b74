"""Item columns kept right for any moment of a replay, as a server's are kept right by timers."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from feature_repo.columns import ItemColumns
from operators.contract import MARK, Signal
from training.replay import Replay


class LiveColumns:
    """The item columns of a replay in progress.

    Rows are made when a moment is asked for, not at each event: a part is read again if news came
    or a timer of its passed since it was last read. The result is that of writing every row.
    """

    def __init__(self, replay: Replay, columns: ItemColumns) -> None:
        self.replay = replay
        self.columns = columns
        self._stale: set[tuple[str, str]] = set()
        self._timers: list[tuple[int, tuple[str, str]]] = []
        self._due: dict[tuple[str, str], int] = {}

    def hear(self, news: Iterable[Signal] | None) -> None:
        """Takes note of what `Replay.feed` returned."""
        for event in news or ():
            if not event.item_id:
                continue
            self._stale.add((event.item_id, ""))
            if event.region:
                self._stale.add((event.item_id, event.region))

    def hear_all(self) -> None:
        """Takes all that the replay knows for new: the columns are others."""
        self._stale |= {key for key in self.replay.items if not key[1].startswith(MARK)}

    def at(self, time: int) -> ItemColumns:
        """The columns as of `time`, epoch ms; times asked for never go back."""
        while self._timers and self._timers[0][0] <= time:
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:  # else news since then has moved the timer
                self._stale.add(key)
        operator = self.replay.item_operator
        for key in self._stale:
            item_id, part = key
            state = self.replay.items[key]
            moment = max(time, operator.watermark(state))
            self.columns.put_features(operator.row(item_id, part, state, moment))
            next_due = operator.due(part, state, moment)
            self._due[key] = next_due or 0
            if next_due is not None:
                heapq.heappush(self._timers, (next_due, key))
        self._stale.clear()
        return self.columns
