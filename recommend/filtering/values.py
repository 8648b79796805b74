"""The values that a filter is computed from: of one request, or of many rows at once.

A number, a time (epoch ms) or a duration (ms) is a float, or an array of them; NaN is missing. A boolean is a bool or
an array, or such a float where it can be missing. A string is a str, None where it is missing, or `Strings` of rows. A
list is a tuple, None where it is missing, or `Lists` of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import repeat
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns, Mask, Rows
from feature_repo.string_lists import StringLists
from feature_repo.vocabulary import Vocabulary

Value: TypeAlias = Any
"""as above; which of them it is follows from the `Kind` that the checker has found"""


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
class RequestValues:
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
    request: RequestValues
    rows: Rows | None
    """None for rows 0 … n-1"""
    n: int
    variables: Mapping[str, Value]
    read: dict[str, Value] = field(default_factory=dict)
    """fields that have been read, where reading one again costs much"""


class Names(Protocol):
    """The strings that codes stand for."""

    @property
    def names(self) -> Sequence[str | None]: ...

    def get(self, name: str, default: Any = None, /) -> Any: ...


class Unindexed(NamedTuple):
    """Names without an index: all are looked at to find one."""

    names: Sequence[str | None]

    def get(self, name: str, default: Any = None, /) -> Any:
        try:
            return self.names.index(name)
        except ValueError:
            return default


class Strings:
    """Strings of rows (n,), as codes; code 0 is missing. A string may have several codes where `names` is Unindexed."""

    __slots__ = ("_names", "codes")

    def __init__(self, codes: npt.NDArray[np.integer[Any]], names: Names) -> None:
        self.codes, self._names = codes, names

    @property
    def is_present(self) -> Mask:
        return self.codes != 0

    @property
    def indexed(self) -> bool:
        return not isinstance(self._names, Unindexed)

    def test(
        self, function: Callable[..., Any], *others: Any, dtype: Any = np.bool_, missing: Any = False
    ) -> npt.NDArray[Any]:
        """`function(string, *others)` of each string (n,); `missing` where there is none. It is called once for each
        of the strings that occur, and called from C where it is a function of C: half of the time is the calls."""
        names = self._names.names
        if not len(self.codes):
            return np.zeros(0, dtype)
        places = self.codes
        if len(places) < len(names) // 4:
            used, places = np.unique(places, return_inverse=True)
            names = [names[code] for code in used.tolist()]
        else:
            names = names[:]  # another thread may add to them
        if not self.indexed:  # some of the names may be missing
            table = (missing if name is None else function(name, *others) for name in names)
            return np.fromiter(table, dtype, len(names)).take(places, mode="clip")
        first = missing if names[0] is None else function(names[0], *others)
        found = np.empty(len(names), dtype)
        found[0] = first
        found[1:] = np.fromiter(map(function, names[1:], *map(repeat, others)), dtype, len(names) - 1)
        return found.take(places, mode="clip")

    def among(self, wanted: Collection[str]) -> Mask:
        """Which strings (n,) are among these."""
        if not self.indexed:
            return self.test(frozenset(wanted).__contains__)
        codes = [code for name in wanted if (code := self._names.get(name))]
        if not codes:
            return np.zeros(len(self.codes), bool)
        return self.codes == codes[0] if len(codes) == 1 else np.isin(self.codes, codes)

    def equal(self, other: Strings) -> Mask:
        """Which strings (n,) are present and equal to those of the other."""
        if not other.indexed:
            if not self.indexed:
                pairs = zip(self.values(), other.values(), strict=True)
                return np.array([a is not None and a == b for a, b in pairs], bool)
            return other.equal(self)
        return self.is_present & (self.codes_in(other._names) == other.codes)

    def codes_in(self, names: Names) -> npt.NDArray[np.int64]:
        """The codes (n,) of the strings among other names, -1 where there is none."""
        return self.test(names.get, -1, dtype=np.int64, missing=-1)

    def values(self) -> list[str | None]:
        names = self._names.names
        return [names[code] for code in self.codes.tolist()]


class Lists:
    """Lists of strings of rows (n,), as they are when this is made."""

    __slots__ = ("_arrays", "_n", "_rows")

    def __init__(self, column: StringLists, scope: Evaluation) -> None:
        self._arrays, self._rows, self._n = column.arrays, scope.rows, scope.n

    @property
    def vocabulary(self) -> Vocabulary:
        return self._arrays.vocabulary

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Lengths (n,), -1 where there is no list."""
        return self._arrays.lengths(self._rows, self._n)

    def any(self, table: Mask) -> Mask:
        """Which lists (n,) have an element of which the table by code says True."""
        return self._arrays.any(table, self._rows, self._n)

    def have(self, wanted: Collection[str]) -> Mask:
        """Which lists (n,) have one of these elements."""
        codes = [code for name in wanted if (code := self.vocabulary.get(name))]
        if not codes:
            return np.zeros(self._n, bool)
        table = np.zeros(max(codes) + 1, bool)
        table[codes] = True
        return self.any(table)

    def have_own(self, strings: Strings) -> Mask:
        """Which lists (n,) have the string of their row."""
        found = np.zeros(self._n, bool)
        codes, owners = self._arrays.elements(self._rows, self._n)
        found[owners[strings.codes_in(self.vocabulary).take(owners) == codes]] = True
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
