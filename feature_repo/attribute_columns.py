"""Typed columns of everything in a catalogue entry that filters read and models do not: attributes, all categories.

An attribute has a column for each type that items give it: numbers (also true and false, apart), strings as codes,
lists of strings. They are filled as items arrive. `changes` says which rows changed since an earlier look at them, so
that what was computed of all rows is computed anew for those alone.

Names of attributes are the sender's, so that columns are limited in number and in bytes. A column either has the values
of all items or does not exist: what was left out once stays left out, since the items before would be missing in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from feature_repo.paged import Rows
from feature_repo.scalar_column import ScalarColumn
from feature_repo.string_lists import StringLists
from schemas.events import Item

log = logging.getLogger(__name__)

Type: TypeAlias = Literal["number", "boolean", "string", "list"]
MOST_COLUMNS = 512
"""columns of attributes; items have the attributes beyond so many, and filters do not"""
ATTRIBUTE_BYTES = 512 << 20
"""limit of the columns of attributes together, vocabularies included. Beyond it the column with the fewest values for
its bytes is left out"""
MOST_LEFT_OUT = 4096
"""columns left out whose names are kept; where there are more, no column is added any more"""
JOURNAL = 8192
"""changed rows that are remembered"""

Column: TypeAlias = ScalarColumn | StringLists
_NEW: dict[Type, Callable[[], Column]] = {
    "number": lambda: ScalarColumn(np.nan, np.float64),
    "boolean": lambda: ScalarColumn(np.nan, np.float32),
    "string": lambda: ScalarColumn(0, np.int32),
    "list": StringLists,
}


def type_of(value: object) -> Type:
    """The type of an attribute's value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "list"


class AttributeColumns:
    """The columns of attributes by name and type. One thread changes them while others read."""

    def __init__(self) -> None:
        self.categories = StringLists()
        self._columns: dict[str, dict[Type, Column]] = {}
        self._n_columns = 0
        self.attribute_bytes = 0
        """bytes of the columns of attributes"""
        self._left_out: dict[tuple[str, Type], None] = {}
        self.version = 0
        """the number of changes so far"""
        self.shape = 0
        """how often a column has been added or dropped so far"""
        self._journal = np.zeros(JOURNAL, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return self.categories.nbytes + self.attribute_bytes

    @property
    def names(self) -> list[str]:
        """Names of the attributes that have columns."""
        return list(self._columns)

    @property
    def left_out(self) -> int:
        """How many columns (name and type) are left out, MOST_LEFT_OUT where there are more."""
        return len(self._left_out)

    def is_left_out(self, name: str) -> bool:
        """Whether items have an attribute of this name that has no column."""
        return any((name, type) in self._left_out for type in _NEW)

    def types(self, name: str) -> tuple[Type, ...]:
        """The types that items give an attribute, none where no item has it."""
        return tuple(self._columns.get(name, ()))

    def scalar(self, name: str, type: Type) -> ScalarColumn:
        """The column of an attribute's numbers, booleans or strings; an empty one where it has been dropped."""
        found = self._columns.get(name, {}).get(type) or _NEW[type]()
        assert isinstance(found, ScalarColumn)
        return found

    def lists(self, name: str) -> StringLists:
        """The column of an attribute's lists; an empty one where it has been dropped."""
        found = self._columns.get(name, {}).get("list") or StringLists()
        assert isinstance(found, StringLists)
        return found

    def put(self, row: int, before: Item | None, item: Item) -> None:
        """Sets the columns of an item's row. `before` is the entry that was in force."""
        if before is None or before.categories != item.categories:
            self.categories.put(row, item.categories)
        had = before.attributes if before else {}
        for name, value in item.attributes.items():
            if name not in had or type_of(had[name]) != type_of(value) or had[name] != value:
                self._put(row, name, value)
        for name, value in had.items():
            if name not in item.attributes or type_of(item.attributes[name]) != type_of(value):
                self._clear(row, name, type_of(value))

    def know(self, name: str, type: Type) -> None:
        """Adds the column of an attribute that no item here has, and others have."""
        self._column(name, type)

    def changed(self, row: int) -> None:
        """Records in the journal that a row has changed; called after all of its columns have."""
        self._journal[self.version % JOURNAL] = row
        self.version += 1

    def changes(self, since: int, until: int) -> Rows | None:
        """The rows (n,) that changed from version `since` to `until`, each once; None where that is not known."""
        if until - since > JOURNAL // 2:
            return None
        found = np.unique(self._journal.take(np.arange(since, until) % JOURNAL))
        # Where as many came meanwhile, some places hold later changes.
        return found if self.version - since < JOURNAL else None

    def _put(self, row: int, name: str, value: Any) -> None:
        column = self._column(name, type_of(value))
        if column is None:
            return
        before = column.nbytes
        column.put(row, value)
        self.attribute_bytes += column.nbytes - before
        while self.attribute_bytes > ATTRIBUTE_BYTES and self._n_columns:
            self._leave_out(*self._least_used(), f"they would take more than {ATTRIBUTE_BYTES >> 20} MiB")

    def _clear(self, row: int, name: str, type: Type) -> None:
        column = self._columns.get(name, {}).get(type)
        if column is None:
            return
        before = column.nbytes
        column.clear(row)
        self.attribute_bytes += column.nbytes - before

    def _column(self, name: str, type: Type) -> Column | None:
        """The column, a new one where there is none and there may be one more."""
        of = self._columns.get(name)
        column = of.get(type) if of else None
        if column is not None:
            return column
        if (name, type) in self._left_out or len(self._left_out) >= MOST_LEFT_OUT:
            return None
        if self._n_columns >= MOST_COLUMNS and not self._drop_empty():
            self._leave_out(name, type, f"there are {MOST_COLUMNS} columns")
            return None
        column = _NEW[type]()
        # A new dictionary each time: a reader that goes through one is not disturbed.
        self._columns = {**self._columns, name: {**self._columns.get(name, {}), type: column}}
        self._n_columns += 1
        self.attribute_bytes += column.nbytes
        self.shape += 1
        return column

    def _drop_empty(self) -> bool:
        """Drops the columns that no item has a value in. Says whether there were any."""
        empty = [(name, type) for name, of in self._columns.items() for type, column in of.items() if not column.count]
        for name, type in empty:
            self._drop(name, type)
        return bool(empty)

    def _drop(self, name: str, type: Type) -> None:
        of = dict(self._columns[name])
        self.attribute_bytes -= of.pop(type).nbytes
        self._columns = {each: of if each == name else types for each, types in self._columns.items()}
        if not of:
            del self._columns[name]
        self._n_columns -= 1
        self.shape += 1

    def _leave_out(self, name: str, type: Type, reason: str) -> None:
        if type in self._columns.get(name, {}):
            self._drop(name, type)
        if not self._left_out:
            log.warning("filters cannot read %r and perhaps more attributes of items: %s", name, reason)
        self._left_out[name, type] = None

    def _least_used(self) -> tuple[str, Type]:
        """The column with the fewest values for its bytes."""
        columns = ((name, type, column) for name, of in self._columns.items() for type, column in of.items())
        name, type, _ = min(columns, key=lambda each: each[2].count / each[2].nbytes)
        return name, type
