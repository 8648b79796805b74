"""Codes of names: small whole numbers in the place of strings."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

NAME_BYTES = 100
"""what a name takes in the index, without its characters, which catalogue entries hold too"""
SLACK = 64
"""names without a use that a small vocabulary may have"""


class Vocabulary(dict[Any, int]):
    """Names → dense codes; code 0 means none, so that padding is harmless. The name of a code is `names[code]`."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[Any] = [None]

    @property
    def nbytes(self) -> int:
        """Bytes of the index."""
        return NAME_BYTES * len(self.names)

    def code(self, name: Hashable) -> int:
        """The name's code; a new name gets the next code."""
        found = self.get(name)
        if found is None:
            code = len(self.names)
            self.names.append(name)  # before the code, which readers look up here
            found = self[name] = code
        return found

    def is_sparse(self, uses: int) -> bool:
        """Whether at least half of the names cannot be in use, where all uses are so many."""
        return len(self.names) > 2 * uses + SLACK

    def compacted(self, used: Iterable[int]) -> tuple[Vocabulary, npt.NDArray[np.int32]]:
        """A vocabulary of the names of these codes alone, and a table from the codes here to the codes there."""
        made, table = Vocabulary(), np.zeros(len(self.names), np.int32)
        for code in used:
            if code:
                table[code] = made.code(self.names[code])
        return made, table
