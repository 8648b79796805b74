"""The server's item data: columns, catalogue entries, and the spaces of the models that serve.

One set of columns for the whole process, kept up to date from Kafka. Models are loaded over it and put in force or
taken out while requests go on: a request uses one model throughout, and rows never change.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence

import numpy as np

from feature_repo import item_rows
from feature_repo.columns import ItemColumns
from feature_repo.crosses import Cross
from feature_repo.reads import NO_READS, Reads
from operators.contract import Space
from operators.space import EmptySpace
from recommend.item_space import ItemSpace
from recommend.model import Model
from schemas import messages
from schemas.bundle import Bundle
from schemas.events import Item
from schemas.topics import ITEM_FEATURES, ITEMS

log = logging.getLogger(__name__)

CHUNK = 64
"""items that join a model at once, before other threads go first"""


class Catalogue:
    """Columns, entries, and the models over them; also the world (items, space) that operators look things up in."""

    def __init__(self, reads: Reads = NO_READS) -> None:
        """`reads` are the inputs of crosses."""
        self.columns = ItemColumns(reads=reads)
        self.model: Model | None = None
        """the one in force, whose user vectors the job keeps"""
        self._items: dict[str, Item] = {}
        self._spaces: tuple[ItemSpace, ...] = ()
        """those that items join as they come"""
        self._lock = threading.RLock()
        self.complete = False
        """whether the topics have been read to their ends as they were at the start"""
        self.refused = 0
        """rows of `item_features` that were left out, since they are of another layout"""

    # -- world ---------------------------------------------------------------------------------

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    @property
    def space(self) -> Space:
        return self.model.user_space if self.model else EmptySpace()

    # -- changes -------------------------------------------------------------------------------

    def on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Applies one record of `items` or `item_features`. Rows of another layout are ignored and counted.

        Raises EventError, msgspec.DecodeError, IndexError, TypeError or ValueError where it cannot be read. A follower
        skips and counts it; of `items` the job reads the same message and writes the dead letter.
        """
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
        with self._lock:
            if isinstance(row, item_rows.DeclaredRow):
                self.columns.put_values(row.key[0], row.values)
            else:
                self.columns.put_features(row)

    def put_item(self, item: Item) -> None:
        """Sets a catalogue entry; its vector in each model follows its content, unless it is learned."""
        with self._lock:
            self._items[item.item_id] = item
            row = self.columns.put_item(item)
            for space in self._spaces:
                space.put_item(row, item)

    def set_complete(self) -> None:
        """Marks the catalogue as read: items of a bundle that it lacks become unavailable, unless the catalogue is
        empty."""
        with self._lock:
            self.complete = True
            if self._items:
                available = self.columns.available
                available &= self.columns.listed

    # -- models --------------------------------------------------------------------------------

    def load(self, bundle: Bundle, declared: Sequence[Cross] = ()) -> Model:
        """Loads a model over the columns; new items get vectors in it from now on. It does not serve yet. Raises
        BundleError."""
        model = Model.of(bundle, self.columns, self.rows_of, declared)
        try:
            self.join(model)
        except BaseException:
            with self._lock:  # or items would go on to join spaces that serve nobody
                self._spaces = tuple(space for space in self._spaces if space not in model.spaces.values())
            raise
        return model

    def rows_of(self, item_ids: list[str]) -> list[int]:
        """The items' rows, new ones where they have none yet."""
        with self._lock:
            return list(map(self.columns.row, item_ids))

    def join(self, model: Model) -> None:
        """Gives present and future items their vectors in the model's spaces."""
        with self._lock:
            self._spaces += tuple(space for space in model.spaces.values() if space not in self._spaces)
            n = self.columns.n
        for space in model.spaces.values():
            rows = np.flatnonzero(self.columns.listed[:n])
            self._join(space, rows[~space.learned(rows)].tolist())

    def _join(self, space: ItemSpace, rows: list[int]) -> None:
        for start in range(0, len(rows), CHUNK):
            with self._lock:
                for row in rows[start : start + CHUNK]:
                    item = self.columns.items[row]
                    if item is not None:
                        space.put_item(row, item)
            time.sleep(0.0002)  # so that threads that answer requests go first

    def serve(self, model: Model | None, others: Iterable[Model] = ()) -> None:
        """Puts a model in force, and `others` that serve variants; new items get no vectors in any other model."""
        serving = [each for each in (model, *others) if each is not None]
        with self._lock:
            self._spaces = tuple(dict.fromkeys(space for each in serving for space in each.spaces.values()))
            columns = self.columns
            if not (self.complete and self._items):
                # Without a catalogue every item that a model has can be offered.
                for space in self._spaces:
                    rows = space.rows
                    columns.available[rows] |= ~columns.listed[rows]
            self.model = model

    def install(self, model: Model) -> None:
        """Joins the model and puts it alone in force."""
        self.join(model)
        self.serve(model)
