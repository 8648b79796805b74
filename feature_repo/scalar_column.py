"""A column of numbers, or of strings as codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.paged import Paged, Rows
from feature_repo.vocabulary import Vocabulary


class ScalarColumn:
    """Numbers (NaN where missing), or codes of strings (0 where missing).

    One thread changes it while others read. Codes and their vocabulary are replaced together, once at least half of its
    names are in no row any more.
    """

    def __init__(self, missing: float, dtype: Any) -> None:
        self._missing, self._dtype = missing, dtype
        self.count = 0
        """rows with a value"""
        self._state = Paged(missing, dtype), Vocabulary()

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and of the vocabulary's index."""
        values, vocabulary = self._state
        return values.nbytes + vocabulary.nbytes

    def put(self, row: int, value: float | str) -> None:
        """Sets the value of a row."""
        values, vocabulary = self._state
        self.count += not self._is_present(values[row])
        values[row] = vocabulary.code(value) if isinstance(value, str) else value
        self._compact()

    def clear(self, row: int) -> None:
        """Leaves the row without a value."""
        values, _ = self._state
        if not self._is_present(values[row]):
            return
        values[row] = self._missing
        self.count -= 1
        if not self.count:
            self._state = Paged(self._missing, self._dtype), Vocabulary()
        self._compact()

    def values(self, rows: Rows | None, n: int) -> npt.NDArray[Any]:
        """Those of `rows`, or of rows 0 … n-1."""
        return self.coded(rows, n)[0]

    def coded(self, rows: Rows | None, n: int) -> tuple[npt.NDArray[Any], Vocabulary]:
        """The same, and the vocabulary of the codes."""
        values, vocabulary = self._state
        return (values.first(n) if rows is None else values.take(rows)), vocabulary

    def _is_present(self, value: Any) -> bool:
        return bool(value != self._missing and value == value)

    def _compact(self) -> None:
        values, vocabulary = self._state
        if vocabulary.is_sparse(self.count):
            made, table = vocabulary.compacted(np.unique(values.first(values.rows)).tolist())
            self._state = values.mapped(table), made
