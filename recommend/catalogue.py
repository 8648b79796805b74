"""Everything the server knows of items: columns and model of one generation, kept up from Kafka.

A generation is a pair that fits: row r of the columns is label r of the model's index. A new bundle makes
a new generation beside the old one; readers take the reference once a request.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec
import numpy as np

from feature_repo.columns import ItemColumns
from feature_repo.reads import NO_READS, Reads
from operators.contract import Row, Space
from operators.space import EmptySpace
from recommend.model import Model
from schemas import messages
from schemas.events import Item
from schemas.topics import ITEM_FEATURES, ITEMS


@dataclass(frozen=True)
class Generation:
    """Columns and the model whose rows they share; no model until a bundle is published."""

    columns: ItemColumns
    model: Model | None

    @classmethod
    def of(cls, model: Model) -> Generation:
        """The model's items without catalogue or activity: training replays fill them."""
        return cls(_arranged(ItemColumns(model.space.dim), model), model)


class Catalogue:
    """The generation in force; also the world (items, space) that operators look things up in."""

    def __init__(self, reads: Reads = NO_READS) -> None:
        """`reads` is what crosses read."""
        self.generation = Generation(ItemColumns(0, reads=reads), None)
        self._items: dict[str, Item] = {}
        self._lock = threading.RLock()
        self._unpack = msgspec.msgpack.Decoder(tuple[str, tuple[str, ...], list[object] | dict[str, object]]).decode
        self.complete = False
        """whether the topics have been read to their ends as they were at the start"""

    # -- world ---------------------------------------------------------------------------------

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    @property
    def space(self) -> Space:
        model = self.generation.model
        return model.space if model else EmptySpace()

    # -- changes -------------------------------------------------------------------------------

    def on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Takes in one record of `items` or `item_features`.

        Raises EventError, msgspec.DecodeError, IndexError, TypeError or ValueError where it cannot be read. A follower
        skips and counts it; of `items` the job reads the same message and writes the dead letter.
        """
        if topic == ITEMS:
            item = messages.read(topic, key, value)
            assert isinstance(item, Item)
            self.put_item(item)
        elif topic == ITEM_FEATURES and value is not None:
            view, of, values = self._unpack(value)
            with self._lock:
                columns = self.generation.columns
                if isinstance(values, dict):  # of declared features
                    columns.put_values(of[0], values)
                else:
                    columns.put_features(Row(view, of, tuple(values)))

    def put_item(self, item: Item) -> None:
        """Takes a catalogue entry in; an item that the bundle does not know joins the index."""
        with self._lock:
            self._items[item.item_id] = item
            columns, model = self.generation.columns, self.generation.model
            known = model is not None and item.item_id in model.space.row_of
            vector = None if model is None or known else model.space.content_vector(item)
            row = columns.put_item(item, vector)
            if model is not None and vector is not None:
                model.index.add(np.array([row]), vector[None])

    def set_complete(self) -> None:
        """The catalogue has been read: items of the bundle that it does not hold cannot be offered. Where
        nobody has ever posted an item, there is no catalogue to say so, and all of them can."""
        with self._lock:
            self.complete = True
            if self._items:
                columns = self.generation.columns
                for row, item in enumerate(columns.items):
                    if item is None:
                        columns.available[row] = False

    def install(self, model: Model) -> None:
        """Puts a new model in force, with columns arranged to its rows."""
        with self._lock:
            columns = _arranged(self.generation.columns, model, everything=not (self.complete and self._items))
            others = [r for r in range(len(model.item_ids), columns.n) if columns.items[r] is not None]
            for row in others:
                item = columns.items[row]
                vector = model.space.content_vector(item) if item else None
                if vector is not None:
                    columns.vectors[row] = vector
            rows = np.array([r for r in others if columns.vectors[r].any()], np.int64)
            model.index.add(rows, columns.vectors[rows])
            self.generation = Generation(columns, model)


def _arranged(old: ItemColumns, model: Model, everything: bool = True) -> ItemColumns:
    """The old columns with the model's items first, in its order, with its vectors. With `everything`, items
    without a catalogue entry can be offered."""
    n = len(model.item_ids)
    columns = old.arranged(model.item_ids, model.space.dim)
    columns.vectors[:n] = model.space.vectors
    if everything:
        for row in range(n):
            if columns.items[row] is None:
                columns.available[row] = True
    return columns
