"""Which items the rules of a set are about: one bit a test and item, kept up to date as catalogue entries change.

A result is never stale: rows that changed are marked, and evaluated anew before they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from feature_repo.columns import UNKNOWN_POPULARITY, ItemColumns, Mask, Rows
from recommend.filtering import ItemFilter, RequestValues

Bits: TypeAlias = npt.NDArray[np.uint8]
NOBODY = RequestValues({}, 0)
"""what a test that reads items alone is evaluated for"""
MOST_STALE = 4096
"""marked rows from which on all of them are evaluated at once"""
MASKS = 16
"""masks of visible items that are kept"""
BEST = 500
"""of the most popular items of a test that are kept"""
BEST_MS = 30_000
"""how long they are"""


@dataclass(frozen=True)
class NamedItems:
    """The test whether an item is one of these."""

    ids: frozenset[str]

    def passes(self, columns: ItemColumns, rows: Rows | None) -> Mask:
        known = columns.rows(sorted(self.ids))
        return np.isin(np.arange(columns.n) if rows is None else rows, known)


@dataclass(frozen=True)
class Passing:
    """The test whether an item passes a filter that reads items alone."""

    filter: ItemFilter

    def passes(self, columns: ItemColumns, rows: Rows | None) -> Mask:
        return self.filter.passes(NOBODY, rows)


Test: TypeAlias = NamedItems | Passing


class Matches:
    """The results of tests for all rows. Made in any thread; then one thread reads it, while another may change the
    columns."""

    def __init__(self, columns: ItemColumns, tests: Sequence[Test]) -> None:
        self._columns, self._tests = columns, tests
        self._version, n = columns.filterable.version, columns.n
        self.broken: dict[int, str] = {}
        """tests that raised, which match nothing since: number → why"""
        self._n = n
        self._bits: Bits = np.zeros((n, (len(tests) + 7) // 8), np.uint8)
        self._stale = np.zeros(n, bool)
        self._n_stale = 0
        self._visible: LRUCache[bytes, Mask] = LRUCache(MASKS)
        self._best: dict[int, tuple[int, Rows]] = {}
        self._evaluate(None)

    def key(self, tests: Sequence[int]) -> Bits:
        """The bits (width,) of these tests."""
        found: Bits = np.zeros(self._bits.shape[1], np.uint8)
        for test in tests:
            found[test >> 3] |= np.uint8(1 << (test & 7))
        return found

    def packed(self, rows: Rows) -> Bits:
        """The bits (n, width) of these rows."""
        self._note_changes()
        if self._n_stale:
            stale = rows[self._stale.take(rows)]
            if len(stale):
                self._evaluate(np.unique(stale))
        return self._bits.take(rows, axis=0)

    def visible(self, key: Bits) -> Mask:
        """Which rows match none of the tests of a key. Rows that have changed since are visible:
        this narrows a search and decides nothing."""
        self._note_changes()
        name = key.tobytes()
        found = self._visible.get(name)
        if found is None:
            found = self._visible[name] = ~(self._bits & key).any(axis=1) | self._stale
        return found[: self._n]

    def best(self, test: int, at: int) -> Rows:
        """The most popular rows that match a test, the most popular first; looked for anew after BEST_MS."""
        kept = self._best.get(test)
        if kept is None or not 0 <= at - kept[0] < BEST_MS:
            self._note_changes()
            rows = np.flatnonzero(self._bits[: self._n, test >> 3] & np.uint8(1 << (test & 7)))
            popularity = np.maximum(self._columns.popularity.take(rows), UNKNOWN_POPULARITY)
            kept = self._best[test] = at, rows[np.argsort(-popularity, kind="stable")[:BEST]]
        return kept[1]

    def _note_changes(self) -> None:
        """Marks the rows that changed and the new ones."""
        version, n = self._columns.filterable.version, self._columns.n
        if version == self._version and n == self._n:
            return
        changed = self._columns.filterable.changes(self._version, version)
        if n > len(self._stale):
            more = max(n - len(self._stale), n // 8, 1024)
            self._stale = np.append(self._stale, np.zeros(more, bool))
            self._bits = np.concatenate([self._bits, np.zeros((more, self._bits.shape[1]), np.uint8)])
            for name, mask in list(self._visible.items()):
                self._visible[name] = np.append(mask, np.ones(more, bool))
        self._stale[self._n : n] = True
        self._n = n
        if changed is None:
            changed = np.arange(n)
        self._stale[changed[changed < n]] = True
        for mask in self._visible.values():
            mask[changed[changed < n]] = True  # what may be visible now is looked at
        self._version = version
        self._n_stale = int(np.count_nonzero(self._stale))
        if self._n_stale > MOST_STALE:
            self._evaluate(np.flatnonzero(self._stale))

    def _evaluate(self, rows: Rows | None) -> None:
        """Computes the bits of these rows, or of all."""
        n = self._n if rows is None else len(rows)
        results = np.zeros((n, len(self._tests)), bool)
        for test, each in enumerate(self._tests):
            try:
                found = each.passes(self._columns, rows)
                results[: len(found), test] = found[:n]
            except Exception as error:
                self.broken[test] = type(error).__name__
        bits = np.packbits(results, axis=1, bitorder="little")
        if rows is None:
            self._bits[:] = bits
            self._stale[:] = False
        else:
            self._bits[rows] = bits
            self._stale[rows] = False
            for name, mask in self._visible.items():
                mask[rows] = ~(bits & np.frombuffer(name, np.uint8)).any(axis=1)
        self._n_stale = int(np.count_nonzero(self._stale))
