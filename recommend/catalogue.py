"""Item data of one process: columns, catalogue entries, and the models whose spaces items join.

A server keeps it up to date from Kafka (serving/catalogue.py); training fills it from a replay. One thread at a time
changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from feature_repo.columns import ItemColumns, Rows
from feature_repo.crosses import Cross
from feature_repo.reads import NO_READS, Reads
from operators.contract import Space
from operators.space import EmptySpace
from recommend.item_space import ItemSpace
from recommend.model import Model
from schemas.bundle import Bundle
from schemas.events import Item


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

    # -- world ---------------------------------------------------------------------------------

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    @property
    def space(self) -> Space:
        return self.model.user_space if self.model else EmptySpace()

    # -- items ---------------------------------------------------------------------------------

    def put_item(self, item: Item) -> None:
        """Sets a catalogue entry; its vector in each model follows its content, unless it is learned."""
        self._items[item.item_id] = item
        row = self.columns.put_item(item)
        for space in self._spaces:
            space.put_item(row, item)

    def rows_of(self, item_ids: list[str]) -> list[int]:
        """The items' rows, new ones where they have none yet."""
        return list(map(self.columns.row, item_ids))

    # -- models --------------------------------------------------------------------------------

    def load(self, bundle: Bundle, declared: Sequence[Cross] = ()) -> Model:
        """Loads a model over the columns; new items get vectors in it from now on. It does not serve yet. Raises
        BundleError."""
        model = Model.of(bundle, self.columns, self.rows_of, declared)
        try:
            self.join(model)
        except BaseException:
            self._leave(model)  # or items would go on to join spaces that serve nobody
            raise
        return model

    def join(self, model: Model) -> None:
        """Gives present and future items their vectors in the model's spaces."""
        rows = self._enter(model)
        for space in model.spaces.values():
            self._join(space, rows[~space.learned(rows)].tolist())

    def serve(self, model: Model | None, others: Iterable[Model] = ()) -> None:
        """Puts a model in force, and `others` that serve variants; new items get no vectors in any other model."""
        serving = [each for each in (model, *others) if each is not None]
        self._spaces = tuple(dict.fromkeys(space for each in serving for space in each.spaces.values()))
        self.model = model

    def _enter(self, model: Model) -> Rows:
        """From now on new items join the model's spaces. Returns the rows of the present ones."""
        self._spaces += tuple(space for space in model.spaces.values() if space not in self._spaces)
        return np.flatnonzero(self.columns.listed)

    def _leave(self, model: Model) -> None:
        self._spaces = tuple(space for space in self._spaces if space not in model.spaces.values())

    def _join(self, space: ItemSpace, rows: list[int]) -> None:
        for row in rows:
            item = self.columns.items[row]
            if item is not None:
                space.put_item(row, item)
