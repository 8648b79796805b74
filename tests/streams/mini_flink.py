"""The part of Flink that the adapter relies on, in memory: keyed state, processing-time timers, checkpoints.

One operator function over one slot. A checkpoint falls between two elements or between two firings of timers, never
inside one; all timers up to a time fire in one go. Restoring makes a new function, which remembers nothing.
"""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from feature_repo.repository import EMPTY, Repository
from operators.contract import Row
from streams import adapter
from streams.job import FUNCTIONS
from streams.settings import JobSettings


class Store:
    """The sink: rows as they stand, the last written of each key."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], Row] = {}
        self.writes = 0
        self.during: Callable[[], None] = lambda: None
        """what happens while rows are on their way"""

    def write(self, rows: list[Row]) -> None:
        self.writes += 1
        self.during()
        for row in rows:
            if row.values:
                self.rows[row.view, *row.key] = row
            else:
                self.rows.pop((row.view, *row.key), None)


class MiniFlink:
    """`send` an element, `advance` the clock, `checkpoint` and `restore`. What the function yields is in `out`."""

    def __init__(
        self,
        name: str,
        world: Any,
        store: Store,
        patch: pytest.MonkeyPatch,
        declared: Repository = EMPTY,
        **settings: Any,
    ) -> None:
        self.now = 1_767_225_600_000
        self.out: list[Any] = []
        self._name, self._settings = name, JobSettings(**{"item_write_ms": 1_000, **settings})
        self._key = ""
        self._maps: dict[str, dict[Any, bytes]] = defaultdict(dict)
        self._lists: dict[str, list[bytes]] = defaultdict(list)
        self._timers: set[tuple[int, str]] = set()
        patch.setattr(adapter, "now_ms", lambda: self.now)
        patch.setattr(adapter, "StoreSink", lambda *_: store)
        patch.setattr(adapter.world, "shared", lambda *_: world)
        patch.setattr(adapter.registry, "load", lambda _: self.declared)
        self.declared = declared
        self._open()

    def _open(self) -> None:
        self.function: Any = FUNCTIONS[self._name, self._settings.clock](self._settings)
        self.function.open(_Context(self))

    def send(self, message: tuple[Any, ...]) -> None:
        self._key = message[0]
        self.out += self.function.process_element(message, self)

    def advance(self, ms: int) -> None:
        """Moves the clock; timers fire in order, each when it is due."""
        until = self.now + ms
        while self._timers and min(self._timers)[0] <= until:
            at = min(self._timers)[0]
            self.now = max(self.now, at)
            while self._timers and min(self._timers)[0] <= self.now:
                timestamp, self._key = timer = min(self._timers)
                self._timers.remove(timer)
                self.out += self.function.on_timer(timestamp, self)
        self.now = max(self.now, until)

    def checkpoint(self) -> Any:
        """State and timers, and how much had been sent on: what a restore goes back to."""
        return copy.deepcopy((self._maps, self._lists, self._timers, len(self.out)))

    def restore(self, checkpoint: Any) -> None:
        self._maps, self._lists, self._timers, sent = copy.deepcopy(checkpoint)
        del self.out[sent:]
        self._open()

    def tails(self) -> int:
        """Elements in all tails."""
        return sum(map(len, self._lists.values()))

    def kept(self) -> int:
        """Parts in all snapshots."""
        return sum(map(len, self._maps.values()))

    # -- what the function calls -----------------------------------------------------------------

    def get_current_key(self) -> str:
        return self._key

    def timer_service(self) -> MiniFlink:
        return self

    def register_event_time_timer(self, timestamp: int) -> None:
        """At the end of the log, which these tests do not come to."""

    def register_processing_time_timer(self, timestamp: int) -> None:
        self._timers.add((timestamp, self._key))


class _Context:
    def __init__(self, flink: MiniFlink) -> None:
        self.get_map_state = lambda _: _Map(lambda: flink._maps[flink._key])
        self.get_list_state = lambda _: _List(lambda: flink._lists[flink._key])

    def get_metrics_group(self) -> _Context:
        return self

    def add_group(self, name: str) -> _Context:
        return self

    def counter(self, name: str) -> _Context:
        return self

    def inc(self, n: int) -> None:
        return None


class _Map:
    def __init__(self, of_key: Callable[[], dict[Any, bytes]]) -> None:
        self._of_key = of_key

    def get(self, part: str) -> Any:
        found = self._of_key().get(part)
        return None if found is None else pickle.loads(found)

    def put(self, part: str, value: Any) -> None:
        self._of_key()[part] = pickle.dumps(value)

    def put_all(self, values: dict[str, Any]) -> None:
        for part, value in values.items():
            self.put(part, value)

    def items(self) -> list[tuple[Any, Any]]:
        return [(name, self.get(name)) for name in self._of_key()]

    def remove(self, part: str) -> None:
        self._of_key().pop(part, None)

    def keys(self) -> list[Any]:
        return list(self._of_key())


class _List:
    def __init__(self, of_key: Callable[[], list[bytes]]) -> None:
        self._of_key = of_key

    def add(self, value: Any) -> None:
        self._of_key().append(pickle.dumps(value))

    def get(self) -> list[Any]:
        return [pickle.loads(value) for value in self._of_key()]

    def clear(self) -> None:
        self._of_key().clear()
