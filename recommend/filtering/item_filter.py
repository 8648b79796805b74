"""Compiled filters over item columns, and the masks that they give, both cached.

A mask is never stale: it is kept with the version of the catalogue entries that it was computed of, and the rows that
changed since are computed anew before it is used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from cachetools import LRUCache

from feature_repo.columns import ItemColumns, Mask, Rows
from recommend.filtering.check import check
from recommend.filtering.fields import Run
from recommend.filtering.syntax import parse
from recommend.filtering.values import Evaluation, RequestValues

FILTER_CHARACTERS = 200_000
"""of the texts of compiled filters kept, each of which takes some 100 bytes a character"""
LEAST_CHARACTERS = 100
"""what a shorter filter counts as"""
MASK_BYTES = 64 << 20
"""of masks kept"""
LEAST_MASK_BYTES = 16 << 10
"""what a smaller mask counts as, so that there are no more than 4,096"""
SECOND = 1000


@dataclass(frozen=True)
class _KeptMask:
    version: int
    mask: Mask


@dataclass(frozen=True, eq=False)
class ItemFilter:
    """A filter that fits the columns: a condition on items, for a person and a request."""

    text: str
    _run: Run
    _of: ItemFilters
    _reads: tuple[Any, ...]
    """fields of the person and the request that it reads"""
    of_user: int | None
    """where it reads a field of the person first; None where it reads none"""
    of_attributes: int | None
    """where it reads an attribute of the person's profile first; None where it reads none"""
    of_item: int | None
    """where it reads a field of items first; None where it reads none"""
    _shape: int
    """of the columns that it was checked against"""
    _changes_alone: bool
    """whether it reads a column that changes without a new catalogue entry, so that its masks are not kept"""

    @property
    def is_of_items_alone(self) -> bool:
        """Whether the result for an item stays the same until its catalogue entry changes."""
        return not self._reads and not self._changes_alone

    def passes(self, request: RequestValues, rows: Rows | None) -> Mask:
        """Which of `rows` (n,) pass, or of all rows; evaluated anew."""
        return self._evaluate(request, rows, self._of.columns.n if rows is None else len(rows))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields of the person and the request that it reads: filters of the same ones have the same `reads`."""
        return tuple(read.path for read in self._reads)

    def reads(self, request: RequestValues) -> tuple[str, ...]:
        """The values of `fields`, which with its text are all that the result depends on, of a filter that reads no
        field of items; a `repr` tells 1 from True."""
        return tuple([value if type(value) is str else repr(value) for value in self._given(request)])

    def _given(self, request: RequestValues) -> list[Any]:
        return [read.given(request) for read in self._reads]

    def holds(self, request: RequestValues) -> bool:
        """Whether it is true, of a filter that reads no field of items."""
        return bool(self._run(Evaluation(self._of.columns, request, None, 0, {})))

    def mask(self, request: RequestValues) -> Mask:
        """Which rows (n,) pass."""
        request = RequestValues(request.user, request.now // SECOND * SECOND, request.region, request.device)
        columns = self._of.columns
        version, n = columns.filterable.version, columns.n
        if self._changes_alone:
            return self._evaluate(request, None, n)
        key = self._key(request)
        kept = self._of.kept(key)
        if kept is not None and kept.version == version and len(kept.mask) == n:
            return kept.mask
        mask = self._updated(kept, request, version, n) if kept else None
        if mask is None:
            mask = self._evaluate(request, None, n)
        self._of.keep(key, _KeptMask(version, mask))
        return mask

    def _key(self, request: RequestValues) -> bytes:
        """A hash of everything that the mask depends on but the columns' values: filters and the person's lists may be
        long. The `repr` tells 1 from True."""
        text = repr((self.text, self._shape, self._given(request)))
        return hashlib.blake2b(text.encode(), digest_size=32).digest()

    def _updated(self, kept: _KeptMask, request: RequestValues, version: int, n: int) -> Mask | None:
        """The mask with the rows that have changed and the new ones computed anew; None where all have to be."""
        before = len(kept.mask)
        changed = self._of.columns.filterable.changes(kept.version, version)
        if changed is None or before > n:
            return None
        rows = np.union1d(changed[changed < n], np.arange(before, n))
        if 4 * len(rows) > n:
            return None
        mask = np.zeros(n, bool)
        mask[:before] = kept.mask
        mask[rows] = self._evaluate(request, rows, len(rows))
        return mask

    def _evaluate(self, request: RequestValues, rows: Rows | None, n: int) -> Mask:
        found = self._run(Evaluation(self._of.columns, request, rows, n, {}))
        return np.full(n, found) if isinstance(found, bool) else found


class ItemFilters:
    """Compiles filters over one set of columns. One thread uses it, while another changes the columns."""

    def __init__(self, columns: ItemColumns) -> None:
        self.columns = columns
        self._filters: LRUCache[tuple[str, int], ItemFilter] = LRUCache(
            FILTER_CHARACTERS, getsizeof=lambda compiled: max(len(compiled.text), LEAST_CHARACTERS)
        )
        self._masks: LRUCache[bytes, _KeptMask] = LRUCache(
            MASK_BYTES, getsizeof=lambda kept: max(kept.mask.nbytes, LEAST_MASK_BYTES)
        )

    def compile(self, text: str) -> ItemFilter:
        """The filter. Raises FilterError where it cannot be read, or does not fit the fields that items have now."""
        filterable = self.columns.filterable
        key = text, filterable.shape
        found = self._filters.get(key)
        if found is None:
            run, reads = check(parse(text), filterable)
            fields = [field for _, field in reads.values()]
            found = self._filters[key] = ItemFilter(
                text,
                run,
                self,
                tuple(field for field in fields if field.given),
                min((at for at, field in reads.values() if field.of_user), default=None),
                min((at for at, field in reads.values() if field.of_attributes), default=None),
                min((at for at, field in reads.values() if field.of_rows), default=None),
                key[1],
                any(field.changes_alone for field in fields),
            )
        return found

    def kept(self, key: bytes) -> _KeptMask | None:
        """The mask that was kept under this key last, if there is room for it still."""
        return self._masks.get(key)

    def keep(self, key: bytes, kept: _KeptMask) -> None:
        """Keeps a mask, unless it is larger than all that may be kept."""
        kept.mask.flags.writeable = False
        if kept.mask.nbytes <= self._masks.maxsize:
            self._masks[key] = kept
