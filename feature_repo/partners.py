"""What items are bought together with, by row: most items have no partners, so that columns would be mostly empty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float32]


class Pairs(NamedTuple):
    """The pairs of some items and their partners: `sources` are positions among the items that were asked for."""

    sources: npt.NDArray[np.int64]
    partners: npt.NDArray[np.int64]
    shares: Shares
    """share of the item's decayed baskets that the partner is in"""


class Partners:
    """Partners of each item, as rows (k,) with shares (k,), most frequent first. 8 bytes a pair."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[npt.NDArray[np.int32], Shares]] = {}

    def __len__(self) -> int:
        """Items that have partners."""
        return len(self._of)

    def put(self, row: int, partners: Sequence[int], shares: Sequence[float]) -> None:
        """Replaces the partners of an item."""
        if len(partners):
            self._of[row] = np.array(partners, np.int32), np.array(shares, np.float32)
        else:
            self._of.pop(row, None)

    def of(self, rows: Sequence[int]) -> Pairs:
        """The pairs of these items and all their partners."""
        found = [(n, *self._of[row]) for n, row in enumerate(rows) if row in self._of]
        if not found:
            return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        if len(found) == 1:
            ((n, of_one, shares),) = found
            return Pairs(np.full(len(of_one), n), of_one.astype(np.int64), shares)
        positions = np.repeat([n for n, _, _ in found], [len(partners) for _, partners, _ in found])
        partners = np.concatenate([partners for _, partners, _ in found]).astype(np.int64)
        return Pairs(positions, partners, np.concatenate([shares for _, _, shares in found]))
