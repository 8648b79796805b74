"""The values that a filter is computed from: of one request, or of many rows at once.

A number, a time (epoch ms) or a duration (ms) is a float, or an array of them; NaN is missing. A boolean is a bool or
an array, or such a float where it can be missing. A string is a str, None where it is missing, or `Strings` of rows. A
list is a tuple, None where it is missing, or `Lists` of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns, Rows
from feature_repo.string_lists import StringLists
from feature_repo.vocabulary import Vocabulary

Mask = npt.NDArray[np.bool_]
Value: TypeAlias = Any
"""as above; which of them it is follows from the `Kind`, that the checker knows"""


class Kind(Enum):
    """The types of the language, as messages call them."""

    NUMBER = "a number"
    STRING = "a string"
    BOOLEAN = "true or false"
    TIME = "a timestamp"
    DURATION = "a duration"
    STRINGS = "a list of strings"
    NUMBERS = "a list of numbers"


@dataclass(frozen=True, slots=True)
class Asker:
    """What a filter may read of the request. Equal values give equal results over the same columns."""

    user: Mapping[str, Any]
    """`user_id`, `interests` and `attributes` of the person's profile"""
    now: int
    """epoch ms"""
    region: str = ""
    device: str = ""


@dataclass(slots=True)
class Evaluation:
    """What one evaluation is about: all rows of the columns, or some of them."""

    columns: ItemColumns
    asker: Asker
    rows: Rows | None
    """None for rows 0 … n-1"""
    n: int
    variables: Mapping[str, Value]


class Names(Protocol):
    """The strings that codes stand for."""

    @property
    def names(self) -> Sequence[str | None]: ...

    def get(self, name: str, /) -> int | None: ...


class Spelled(NamedTuple):
    """Names without an index: each is looked at to find one."""

    names: Sequence[str | None]

    def get(self, name: str, /) -> int | None:
        try:
            return self.names.index(name)
        except ValueError:
            return None


class Strings:
    """Strings of rows (n,), as codes; code 0 is missing. A string may have several codes where `names` is Spelled."""

    __slots__ = ("_names", "codes")

    def __init__(self, codes: npt.NDArray[np.integer[Any]], names: Names) -> None:
        self.codes, self._names = codes, names

    @property
    def there(self) -> Mask:
        return self.codes != 0

    def test(self, predicate: Callable[[str], Any], dtype: Any = np.bool_, missing: Any = False) -> npt.NDArray[Any]:
        """What the predicate says of each string (n,); `missing` where there is none."""
        names = self._names.names
        if not len(self.codes):
            return np.zeros(0, dtype)
        if len(self.codes) < len(names) // 4:
            used, places = np.unique(self.codes, return_inverse=True)
            table = [missing if (name := names[code]) is None else predicate(name) for code in used.tolist()]
            return np.array(table, dtype).take(places)
        table = [missing if name is None else predicate(name) for name in names]
        return np.array(table, dtype).take(self.codes, mode="clip")

    def among(self, wanted: Collection[str]) -> Mask:
        """Which strings (n,) are among these."""
        if isinstance(self._names, Spelled):
            return self.test(frozenset(wanted).__contains__)
        codes = [code for name in wanted if (code := self._names.get(name))]
        if not codes:
            return np.zeros(len(self.codes), bool)
        return self.codes == codes[0] if len(codes) == 1 else np.isin(self.codes, codes)

    def values(self) -> list[str | None]:
        names = self._names.names
        return [names[code] for code in self.codes.tolist()]


class Lists:
    """Lists of strings of rows (n,)."""

    __slots__ = ("_column", "_n", "_rows")

    def __init__(self, column: StringLists, scope: Evaluation) -> None:
        self._column, self._rows, self._n = column, scope.rows, scope.n

    @property
    def vocabulary(self) -> Vocabulary:
        return self._column.vocabulary

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Lengths (n,), -1 where there is no list."""
        if self._rows is None:
            return self._column.lengths(self._n)
        known = self._column.lengths(int(self._rows.max(initial=-1)) + 1)
        return known.take(self._rows)

    def any(self, table: Mask) -> Mask:
        """Which lists (n,) have an element of which the table by code says True."""
        found = np.zeros(self._n, bool)
        codes, owners = self._column.elements(self._rows, self._n)
        if len(codes):
            found[owners[table.take(codes, mode="clip")]] = True
        return found

    def have(self, wanted: Collection[str]) -> Mask:
        """Which lists (n,) have one of these elements."""
        table = np.zeros(len(self.vocabulary.names), bool)
        codes = [code for name in wanted if (code := self.vocabulary.get(name))]
        if not codes:
            return np.zeros(self._n, bool)
        table[codes] = True
        return self.any(table)

    def have_own(self, strings: Strings) -> Mask:
        """Which lists (n,) have the string of their row."""
        found = np.zeros(self._n, bool)
        codes, owners = self._column.elements(self._rows, self._n)
        names, wanted = self.vocabulary.names, strings.values()
        same = [names[code] == wanted[owner] for code, owner in zip(codes.tolist(), owners.tolist(), strict=True)]
        found[owners[np.array(same, bool)]] = True
        return found


def condition(value: Value) -> bool | Mask:
    """A boolean that may be missing as one that is not: missing counts as false."""
    if isinstance(value, np.ndarray):
        return value if value.dtype == np.bool_ else value == 1
    return bool(value == 1)


def of_request(value: object, kind: Kind) -> Value:
    """A value of the request as one of a kind; missing where it is of another."""
    if kind is Kind.NUMBER:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if is_number else math.nan  # type: ignore[arg-type]
    if kind is Kind.BOOLEAN:
        return float(value) if isinstance(value, bool) else math.nan
    if kind is Kind.STRING:
        return value if isinstance(value, str) else None
    if kind is Kind.STRINGS:
        return tuple(value) if isinstance(value, (list, tuple)) else None
    return None
