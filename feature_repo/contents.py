"""The tokens of items' catalogue entries, and signatures that say cheaply which items cannot have many in common.

The signature of an item is 64 bits, one set for each of its tokens: an item shares at most as many tokens with another
as that one's tokens have bits in it. Comparing thousands of items takes one operation on arrays; sets of tokens are
compared for those alone that may be alike. Signatures are computed when they are first read, since most items are never
compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from operators.space import tokens
from schemas.events import Item

KEPT = 20_000
"""items whose tokens are kept, about 1 kB each"""
NOTHING: frozenset[str] = frozenset()

Signatures = npt.NDArray[np.uint64]


class Contents:
    """Tokens by row of the columns' items. One thread may change items while others read."""

    def __init__(self, items: Sequence[Item | None]) -> None:
        """`items` by row, read whenever they are asked for."""
        self._items = items
        self._kept: dict[int, tuple[Item, frozenset[str]]] = {}

    def of(self, row: int) -> frozenset[str]:
        """The tokens of the item's catalogue entry; none without one."""
        item = self._items[row]
        if item is None:
            return NOTHING
        held = self._kept.get(row)
        if held is None or held[0] is not item:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            held = self._kept[row] = item, frozenset(tokens(item))
        return held[1]

    def complete(self, signatures: Signatures, rows: npt.NDArray[np.int64]) -> Signatures:
        """The signatures (n,) of `rows` (n,); those that are 0 in the column `signatures` are computed, and kept in it.
        Who changes an item sets its signature to 0 afterwards."""
        found = signatures.take(rows)
        for place in np.flatnonzero(found == 0).tolist():
            row = int(rows[place])
            item = self._items[row]
            found[place] = signatures[row] = _signature(self.of(row))
            if self._items[row] is not item:  # changed meanwhile
                signatures[row] = 0
        return found


def shared_at_most(content: frozenset[str], signatures: Signatures) -> npt.NDArray[np.int64]:
    """How many tokens (n,) of `content` the items of the signatures (n,) have at most."""
    own = _signature(content)
    of_one_bit = len(content) - own.bit_count()  # tokens beyond the first of a bit: taken for shared
    return np.bitwise_count(signatures & np.uint64(own)).astype(np.int64) + of_one_bit


def _bit(token: str) -> int:
    return hash(token) & 63


def _signature(content: frozenset[str]) -> int:
    bits = 0
    for token in content:
        bits |= 1 << _bit(token)
    return bits
