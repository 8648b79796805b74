"""Typed columns of everything in a catalogue entry that filters read and models do not: attributes, all categories.

An attribute has a column for each type that items give it: numbers (also true and false, apart), strings as codes,
lists of strings. They are filled as items arrive. `changes` says which rows changed since an earlier look at them, so
that what was computed of all rows is computed anew for those alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from feature_repo.string_lists import Rows, StringLists
from feature_repo.vocabulary import Vocabulary
from schemas.events import Item

Floats = npt.NDArray[np.float64]
Type: TypeAlias = Literal["number", "boolean", "string", "list"]
MOST_COLUMNS = 512
"""names of attributes are the sender's: items have the attributes beyond so many columns, and filters do not"""
JOURNAL = 8192
"""changed rows that are remembered"""


class ScalarColumn:
    """Numbers (NaN where missing), or codes of strings (0 where missing). As long as its last row with a value."""

    def __init__(self, missing: float, dtype: Any) -> None:
        self._missing = missing
        self._values: npt.NDArray[Any] = np.zeros(0, dtype)
        self.vocabulary = Vocabulary()

    @property
    def nbytes(self) -> int:
        return self._values.nbytes

    def put(self, row: int, value: Any) -> None:
        if row >= len(self._values):
            more = max(2 * len(self._values), row + 1, 64) - len(self._values)
            self._values = np.append(self._values, np.full(more, self._missing, self._values.dtype))
        self._values[row] = self.vocabulary.code(value) if isinstance(value, str) else value

    def clear(self, row: int) -> None:
        if row < len(self._values):
            self._values[row] = self._missing

    def values(self, rows: Rows | None, n: int) -> npt.NDArray[Any]:
        """Those of `rows`, or of rows 0 … n-1."""
        found = self._values
        if rows is not None:
            taken = found.take(rows, mode="clip") if len(found) else np.zeros(len(rows), found.dtype)
            taken[rows >= len(found)] = self._missing
            return taken
        if len(found) >= n:
            return found[:n]
        return np.append(found, np.full(n - len(found), self._missing, found.dtype))


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
        self.left_out: set[str] = set()
        """some names that have no column, since there are MOST_COLUMNS"""
        self.version = 0
        """the number of changes so far"""
        self.shape = 0
        """the number of columns that have been added so far"""
        self._journal = np.zeros(JOURNAL, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        columns = [column for of in self._columns.values() for column in of.values()]
        return self.categories.nbytes + sum(column.nbytes for column in columns)

    @property
    def names(self) -> list[str]:
        """Names of the attributes that have columns."""
        return list(self._columns)

    def types(self, name: str) -> tuple[Type, ...]:
        """The types that items give an attribute, none where no item has it."""
        return tuple(self._columns.get(name, ()))

    def scalar(self, name: str, type: Type) -> ScalarColumn:
        """The column of an attribute's numbers, booleans or strings."""
        found = self._columns[name][type]
        assert isinstance(found, ScalarColumn)
        return found

    def lists(self, name: str) -> StringLists:
        """The column of an attribute's lists."""
        found = self._columns[name]["list"]
        assert isinstance(found, StringLists)
        return found

    def put(self, row: int, before: Item | None, item: Item) -> None:
        """Sets the columns of an item's row. `before` is the entry that was in force."""
        if before is None or before.categories != item.categories:
            self.categories.put(row, item.categories)
        had = before.attributes if before else {}
        if had != item.attributes:
            self._put_attributes(row, had, item.attributes)

    def changed(self, row: int) -> None:
        """Says that a row has changed; called after all of its columns have."""
        self._journal[self.version % JOURNAL] = row
        self.version += 1

    def changes(self, since: int, until: int) -> Rows | None:
        """The rows (n,) that changed from version `since` to `until`, each once; None where that is not known."""
        if until - since > JOURNAL // 2:
            return None
        found = np.unique(self._journal.take(np.arange(since, until) % JOURNAL))
        # Where as many came meanwhile, some places hold later changes.
        return found if self.version - since < JOURNAL else None

    def _put_attributes(self, row: int, had: dict[str, Any], attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            if name not in had or type_of(had[name]) != type_of(value) or had[name] != value:
                column = self._column(name, type_of(value))
                if column is not None:
                    column.put(row, value)
        for name, value in had.items():
            if name not in attributes or type_of(attributes[name]) != type_of(value):
                column = self._columns.get(name, {}).get(type_of(value))
                if column is not None:
                    column.clear(row)

    def _column(self, name: str, type: Type) -> Column | None:
        """The column, a new one where there is none and there may be one more."""
        of = self._columns.get(name)
        column = of.get(type) if of else None
        if column is None:
            if self._n_columns >= MOST_COLUMNS:
                if len(self.left_out) < MOST_COLUMNS:
                    self.left_out.add(name)
                return None
            column = _NEW[type]()
            # A new dictionary each time: a reader that goes through one is not disturbed.
            self._columns = {**self._columns, name: {**(of or {}), type: column}}
            self._n_columns += 1
            self.shape += 1
        return column
