"""Arrays by row that take memory only where rows have values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
PAGE = 1024
"""rows that are allocated together"""


class Paged:
    """One number a row, `missing` where none was set. One thread changes it while others read."""

    def __init__(self, missing: float, dtype: Any) -> None:
        self.missing = missing
        self.dtype = np.dtype(dtype)
        self.nbytes = 0
        """bytes of the pages that are allocated"""
        self._blank = np.full(PAGE, missing, self.dtype)
        self._blank.flags.writeable = False
        self._pages: list[npt.NDArray[Any]] = []

    def __getitem__(self, row: int) -> Any:
        page, place = divmod(row, PAGE)
        return self._pages[page][place] if page < len(self._pages) else self._blank[place]

    def __setitem__(self, row: int, value: Any) -> None:
        page, place = divmod(row, PAGE)
        if page >= len(self._pages):
            self.nbytes += 8 * (page + 1 - len(self._pages))
            self._pages += [self._blank] * (page + 1 - len(self._pages))
        if self._pages[page] is self._blank:
            own = self._blank.copy()
            own[place] = value
            self._pages[page] = own
            self.nbytes += own.nbytes
        else:
            self._pages[page][place] = value

    def put(self, rows: Rows, values: npt.NDArray[Any]) -> None:
        """Sets the values (n,) of rows (n,)."""
        pages, places = np.divmod(rows, PAGE)
        for number in np.unique(pages).tolist():
            here = pages == number
            self[number * PAGE] = self[number * PAGE]  # allocates the page
            self._pages[number][places[here]] = values[here]

    def first(self, n: int) -> npt.NDArray[Any]:
        """Those (n,) of rows 0 … n-1, as a copy."""
        found = np.full(n, self.missing, self.dtype)
        for number, page in enumerate(self._pages[: -(-n // PAGE)]):
            if page is not self._blank:
                start = number * PAGE
                found[start : start + PAGE] = page[: n - start]
        return found

    def take(self, rows: Rows) -> npt.NDArray[Any]:
        """Those (n,) of `rows`."""
        found = np.full(len(rows), self.missing, self.dtype)
        pages, places = np.divmod(rows, PAGE)
        for number in np.unique(pages).tolist():
            if number < len(self._pages):
                here = pages == number
                found[here] = self._pages[number].take(places[here])
        return found

    def mapped(self, table: npt.NDArray[Any]) -> Paged:
        """Another of the same size, in which each number is the one at its place in the table."""
        made = Paged(self.missing, self.dtype)
        made._pages = [
            made._blank if page is self._blank else table.take(page).astype(self.dtype) for page in self._pages
        ]
        made.nbytes = self.nbytes
        return made

    def copy(self) -> Paged:
        """Another of the same numbers, which changes apart from this one."""
        made = Paged(self.missing, self.dtype)
        made._pages = [made._blank if page is self._blank else page.copy() for page in self._pages]
        made.nbytes = self.nbytes
        return made

    @property
    def rows(self) -> int:
        """A number of rows beyond which none was set."""
        return len(self._pages) * PAGE
