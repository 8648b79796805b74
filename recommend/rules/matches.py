"""Which items the rules of a set are about: one bit a test and item, kept up to date as catalogue entries change.

A result is never stale: rows that changed are marked, and evaluated anew before they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from feature_repo.columns import UNKNOWN_POPULARITY, ItemColumns, Mask, Rows
from recommend.filtering import ItemFilter, RequestValues

Bits: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int64]
NOWHERE: Places = np.zeros(0, np.int64)
NOBODY = RequestValues({}, 0)
"""what a test that reads items alone is evaluated for"""
WORD = 64
"""bits that are read at once, and tests that are evaluated at once"""
MOST_STALE = 4096
"""marked rows from which on all of them are evaluated at once"""
STALE_MS = 100
"""after which all marked rows are evaluated at once: a test costs about as much for one row as for a hundred, so where
items change all the time, few requests evaluate any"""
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

    @property
    def name(self) -> Hashable:
        """Equal for tests that give the same results."""
        return self.ids

    def passes(self, columns: ItemColumns, rows: Rows | None) -> Mask:
        known = columns.rows(sorted(self.ids))
        return np.isin(np.arange(columns.n) if rows is None else rows, known)


@dataclass(frozen=True)
class Passing:
    """The test whether an item passes a filter that reads items alone."""

    filter: ItemFilter

    @property
    def name(self) -> Hashable:
        """Equal for tests that give the same results, over columns of the same shape."""
        return self.filter.text

    def passes(self, columns: ItemColumns, rows: Rows | None) -> Mask:
        return self.filter.passes(NOBODY, rows)


Test: TypeAlias = NamedItems | Passing


class RowBits:
    """The results of all tests for n rows, `packed` (n, width)."""

    def __init__(self, packed: Bits) -> None:
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed)

    def take(self, order: Places) -> RowBits:
        """Those of the rows at these positions."""
        return RowBits(self.packed.take(order, axis=0))

    @cached_property
    def _by_test(self) -> Bits:
        """(width, n), so that the results of a test are next to one another."""
        return np.ascontiguousarray(self.packed.T)

    @cached_property
    def _matched(self) -> list[int]:
        """(width,): the tests that any of the rows matches."""
        return np.bitwise_or.reduce(self.packed, axis=0).tolist()

    def bytes(self, chosen: Places) -> Bits:
        """These of the bytes (chosen, n) of all rows."""
        return self._by_test.take(chosen, axis=0)

    def listed(self, tests: Sequence[int]) -> dict[int, Places]:
        """Positions of the rows that match each of several tests, ascending; tests that none matches are left out."""
        there = [test for test in tests if self._matched[test >> 3] >> (test & 7) & 1]
        if not there:
            return {}
        numbers, n = np.array(there), len(self)
        found = self._by_test.take(numbers >> 3, axis=0) & (1 << (numbers & 7)).astype(np.uint8)[:, None]
        flat = np.flatnonzero(found != 0)  # a tenth of the time of `nonzero` of two dimensions
        starts, places = np.searchsorted(flat, n * np.arange(len(there) + 1)).tolist(), flat % n
        return {test: places[start:end] for test, start, end in zip(there, starts, starts[1:], strict=False)}

    def of(self, test: int) -> Mask:
        """Which rows (n,) match a test."""
        found: Mask = (self._by_test[test >> 3] & np.uint8(1 << (test & 7))) != 0
        return found

    def any_of(self, key: Bits) -> Mask:
        """Which rows (n,) match any of the tests of a key."""
        return _any(self.packed, key)

    def positions(self, test: int) -> Places:
        """Positions of the rows that match a test, ascending."""
        return np.flatnonzero(self.of(test)) if self._matched[test >> 3] >> (test & 7) & 1 else NOWHERE


class Matches:
    """The results of tests for all rows. Made in any thread; then one thread reads it, while another may change the
    columns."""

    _version: int
    """of the catalogue entries that were looked at"""
    _n: int
    _stale: Mask
    """rows that have changed since they were evaluated; may be longer than n, as `_bits`"""
    _bits: Bits

    def __init__(self, columns: ItemColumns, tests: Sequence[Test], known: Matches | None = None) -> None:
        """Results that `known`, which another thread may use, has of the same tests are taken from it: of 200 rules
        mostly one changes. Its filters are to be compiled against columns of the same shape."""
        self._columns, self._tests = columns, tests
        # What `known` learns after the version was read is evaluated again.
        version = columns.filterable.version if known is None else known._version
        n = columns.n if known is None else min(known._n, len(known._bits), len(known._stale))
        self._version = version
        self._evaluated_at = 0
        """when all marked rows were evaluated, by the times of requests in epoch ms"""
        self.broken: dict[int, str] = {}
        """tests that raised, which match nothing since: number → why"""
        self._n = n
        self._stale = np.zeros(n, bool) if known is None else known._stale[:n].copy()
        self._n_stale = int(np.count_nonzero(self._stale))
        self._visible: LRUCache[bytes, Mask] = LRUCache(MASKS)
        self._best: dict[int, tuple[int, Rows]] = {}
        known_bits = None if known is None else known._bits
        places = {} if known is None else {test.name: place for place, test in enumerate(known._tests)}

        def result(number: int, into: Mask) -> None:
            place = places.get(tests[number].name)
            if place is None or known is None or known_bits is None or place in known.broken:
                self._test(number, None, into)
            else:
                into[:] = known_bits[:n, place >> 3] & np.uint8(1 << (place & 7))

        self._bits = _packed(len(tests), n, result)

    def key(self, tests: Sequence[int]) -> Bits:
        """The bits (width,) of these tests."""
        found: Bits = np.zeros(self._bits.shape[1], np.uint8)
        for test in tests:
            found[test >> 3] |= np.uint8(1 << (test & 7))
        return found

    def bits(self, rows: Rows, at: int) -> RowBits:
        """The results for these rows, for a request of that time in epoch ms."""
        self._note_changes()
        if self._n_stale and abs(at - self._evaluated_at) >= STALE_MS:  # requests come in no strict order
            self._evaluated_at = at
            self._evaluate(np.flatnonzero(self._stale))
        elif self._n_stale:
            stale = rows[self._stale.take(rows)]
            if len(stale):
                self._evaluate(np.unique(stale))
        return RowBits(self._bits.take(rows, axis=0))

    def visible(self, key: Bits) -> Mask:
        """Which rows match none of the tests of a key. Rows that have changed since are visible:
        this narrows a search and decides nothing."""
        self._note_changes()
        name = key.tobytes()
        found = self._visible.get(name)
        if found is None:
            found = self._visible[name] = ~_any(self._bits, key) | self._stale
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

    def _evaluate(self, rows: Rows) -> None:
        """Computes the bits of these rows."""
        self._bits[rows] = bits = _packed(
            len(self._tests), len(rows), lambda number, into: self._test(number, rows, into)
        )
        self._stale[rows] = False
        for name, mask in self._visible.items():
            mask[rows] = ~_any(bits, np.frombuffer(name, np.uint8))
        self._n_stale = int(np.count_nonzero(self._stale))

    def _test(self, number: int, rows: Rows | None, into: Mask) -> None:
        """Writes the result (n,) of one test for these rows, or all."""
        try:
            found = self._tests[number].passes(self._columns, rows)[: len(into)]
            into[: len(found)] = found
        except Exception as error:
            self.broken[number] = type(error).__name__


def _width(tests: int) -> int:
    """Bytes for so many bits, in whole words: `_any` reads words."""
    return WORD // 8 * max(1, -(-tests // WORD))


def _packed(tests: int, n: int, result: Callable[[int, Mask], None]) -> Bits:
    """The results of so many tests for n rows as bits (n, width); `result` writes those (n,) of the test of a number
    into zeros. A word's worth of tests at a time: all of them would need a byte a test and row."""
    found = np.zeros((n, _width(tests)), np.uint8)
    for start in range(0, tests, WORD):
        results = np.zeros((min(WORD, tests - start), n), bool)
        for number, into in enumerate(results, start):
            result(number, into)
        bits = np.packbits(results, axis=0, bitorder="little")
        found[:, start // 8 : start // 8 + len(bits)] = bits.T
    return found


def _any(bits: Bits, key: Bits) -> Mask:
    """Which rows of bits (n, width) have a bit of the key (width,)."""
    words = bits.view(np.uint64) & key.view(np.uint64)
    found: Mask = np.bitwise_or.reduce(words, axis=1) != 0
    return found
