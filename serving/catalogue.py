"""The server's item data, kept up to date from Kafka's topics `items` and `item_features`.

One set of columns for the whole process. Models are loaded over it and put in force or taken out while requests go on:
a request uses one model throughout, and rows never change.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable

from feature_repo import item_rows
from feature_repo.columns import Rows
from feature_repo.reads import NO_READS, Reads
from recommend.catalogue import Catalogue
from recommend.item_space import ItemSpace
from recommend.model import Model
from schemas import messages
from schemas.events import Item
from schemas.topics import ITEM_FEATURES, ITEMS

log = logging.getLogger(__name__)

TURN_S = 0.0005
"""how long a record waits before it is applied where a request waits for the lock"""
CHUNK = 64
"""items that join a model at once, before other threads go first"""


class _Changing:
    """The lock as those take it who change something: while they wait they are counted."""

    __slots__ = ("_lock", "passed", "waiting")

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self.waiting: deque[None] = deque()
        """has one entry for each thread that waits; a number would need a lock of its own"""
        self.passed = False
        """whether a request has got the lock while one waited"""

    def __enter__(self) -> None:
        self.waiting.append(None)
        try:
            self._lock.acquire()
        finally:
            self.waiting.pop()
        self.passed = False

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class LiveCatalogue(Catalogue):
    """A catalogue that several threads change: one follows Kafka, one loads bundles."""

    def __init__(self, reads: Reads = NO_READS) -> None:
        """`reads` are the inputs of crosses."""
        super().__init__(reads)
        self._lock = threading.RLock()
        self._asked = 0
        """requests that wait for the lock"""
        self._changing = _Changing(self._lock)
        self._holds = 0
        """that have not been released, all of one thread"""
        self.complete = False
        """whether the topics have been read to their ends as they were at the start"""
        self.refused = 0
        """rows of `item_features` that were left out, since they are of another layout"""

    def on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Applies one record of `items` or `item_features`. Rows of another layout are ignored and counted.

        Raises EventError, msgspec.DecodeError, IndexError, TypeError or ValueError where it cannot be read. A follower
        skips and counts it; of `items` the job reads the same message and writes the dead letter.
        """
        if self._asked:  # the lock goes to whoever comes first, which would be this thread again
            time.sleep(TURN_S)
        if topic == ITEMS:
            item = messages.read(topic, key, value)
            assert isinstance(item, Item)
            self.put_item(item)
        elif topic == ITEM_FEATURES and value is not None:
            self._put_row(value)

    def _put_row(self, value: bytes) -> None:
        try:
            row = item_rows.decode(value)
        except item_rows.OtherLayout as error:
            self.refused += 1
            if self.refused == 1:
                log.warning("rows of %s are left out: %s", ITEM_FEATURES, error)
            return
        with self._changing:
            if isinstance(row, item_rows.DeclaredRow):
                self.columns.put_values(row.key[0], row.values)
            else:
                self.columns.put_features(row)

    def put_item(self, item: Item) -> None:
        with self._changing:
            super().put_item(item)

    def rows_of(self, item_ids: list[str]) -> list[int]:
        with self._changing:
            return super().rows_of(item_ids)

    def hold(self, seconds: float) -> bool:
        """Keeps other threads from changing anything until `release`, which the same thread calls; as often as it is
        called. False where that cannot be had within so many seconds; and where another thread waits to change
        something while it is held already, or has waited since before it was held last: else holds that overlap would
        keep it waiting for ever."""
        changing = self._changing
        if changing.waiting and (self._holds or changing.passed):
            return False
        self._asked += 1
        try:
            if not self._lock.acquire(timeout=seconds):
                return False
        finally:
            self._asked -= 1
        self._holds += 1
        changing.passed = bool(changing.waiting)
        return True

    def release(self) -> None:
        """Ends one `hold`."""
        self._holds -= 1
        self._lock.release()

    def set_complete(self) -> None:
        """Marks the catalogue as read: items of a bundle that it lacks become unavailable, unless the catalogue is
        empty."""
        with self._changing:
            self.complete = True
            if self._items:
                available = self.columns.available
                available &= self.columns.listed

    def serve(self, model: Model | None, others: Iterable[Model] = ()) -> None:
        """The same; without a catalogue every item that a model has can be offered."""
        with self._changing:
            super().serve(model, others)
            columns = self.columns
            if not (self.complete and self._items):
                for space in self._spaces:
                    rows = space.rows
                    columns.available[rows] |= ~columns.listed[rows]

    def _enter(self, model: Model) -> Rows:
        with self._changing:
            return super()._enter(model)

    def _leave(self, model: Model) -> None:
        with self._changing:
            super()._leave(model)

    def _join(self, space: ItemSpace, rows: list[int]) -> None:
        for start in range(0, len(rows), CHUNK):
            with self._changing:
                super()._join(space, rows[start : start + CHUNK])
            time.sleep(0.0002)  # so that threads that answer requests go first
