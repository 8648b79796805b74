"""Compiled filters over item columns, and the masks that they give, both cached.

A mask is never stale: it is kept with the version of the catalogue entries that it was computed of, and the rows that
changed since are computed anew before it is used.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cachetools import LRUCache

from feature_repo.columns import ItemColumns, Rows
from recommend.filtering.check import check
from recommend.filtering.fields import Run
from recommend.filtering.syntax import parse
from recommend.filtering.values import Asker, Evaluation, Mask

FILTERS = 1000
"""compiled filters kept"""
MASK_BYTES = 64 << 20
"""of masks kept"""
SECOND = 1000


@dataclass(frozen=True)
class _Kept:
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
    _live: bool
    """whether it reads a column that changes without a new catalogue entry, so that its masks are not kept"""

    def mask(self, asker: Asker) -> Mask:
        """Which rows (n,) pass."""
        asker = Asker(asker.user, asker.now // SECOND * SECOND, asker.region, asker.device)
        columns = self._of.columns
        version, n = columns.filterable.version, columns.n
        if self._live:
            return self._evaluate(asker, None, n)
        key = (self.text, *(_frozen(read.given(asker)) for read in self._reads))
        kept = self._of.kept(key)
        if kept is not None and kept.version == version and len(kept.mask) == n:
            return kept.mask
        mask = self._updated(kept, asker, version, n) if kept else None
        if mask is None:
            mask = self._evaluate(asker, None, n)
        self._of.keep(key, _Kept(version, mask))
        return mask

    def _updated(self, kept: _Kept, asker: Asker, version: int, n: int) -> Mask | None:
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
        mask[rows] = self._evaluate(asker, rows, len(rows))
        return mask

    def _evaluate(self, asker: Asker, rows: Rows | None, n: int) -> Mask:
        found = self._run(Evaluation(self._of.columns, asker, rows, n, {}))
        return np.full(n, found) if isinstance(found, bool) else found


class ItemFilters:
    """Compiles filters over one set of columns. One thread uses it, while another changes the columns."""

    def __init__(self, columns: ItemColumns) -> None:
        self.columns = columns
        self._filters: LRUCache[tuple[str, int], ItemFilter] = LRUCache(FILTERS)
        self._masks: LRUCache[Hashable, _Kept] = LRUCache(MASK_BYTES, getsizeof=lambda kept: kept.mask.nbytes)

    def compile(self, text: str) -> ItemFilter:
        """The filter. Raises FilterError where it cannot be read, or does not fit the fields that items have now."""
        filterable = self.columns.filterable
        key = text, filterable.shape
        found = self._filters.get(key)
        if found is None:
            run, reads = check(parse(text), filterable)
            fields = [field for _, field in reads.values()]
            of_user = [at for path, (at, _) in reads.items() if path.startswith("user.")]
            found = ItemFilter(
                text,
                run,
                self,
                tuple(field for field in fields if field.given),
                min(of_user, default=None),
                any(field.path == "item.available" for field in fields),
            )
            self._filters[key] = found
        return found

    def kept(self, key: Hashable) -> _Kept | None:
        return self._masks.get(key)

    def keep(self, key: Hashable, kept: _Kept) -> None:
        """Keeps a mask, unless it is larger than all that may be kept."""
        kept.mask.flags.writeable = False
        if kept.mask.nbytes <= self._masks.maxsize:
            self._masks[key] = kept


def _frozen(value: object) -> Hashable:
    """A value as a part of a key: 1 and True are equal and not the same."""
    if isinstance(value, (list, tuple)):
        return tuple(value)
    return type(value).__name__, value
