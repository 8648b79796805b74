"""Item vectors of one embedding space, by row of the item columns: what crosses and the ranker's inputs read."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows


class ItemVectors(Protocol):
    """The vectors of one space."""

    @property
    def id(self) -> str:
        """The space's id, "" where there is none."""

    @property
    def dim(self) -> int: ...

    def vectors_of(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Unit vectors (n, dim) of rows (n,); zeros where the space has none."""

    def has(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows (n,) have a vector."""


class HeldVectors:
    """Vectors in one array (rows, dim), zeros where a row has none: for replays, examples and comparisons."""

    def __init__(self, space_id: str, vectors: npt.NDArray[np.float32]) -> None:
        self.id = space_id
        self.dim = vectors.shape[1]
        self._vectors = vectors

    def vectors_of(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Unit vectors (n, dim) of rows (n,); zeros beyond the array."""
        if not len(self._vectors):
            return np.zeros((len(rows), self.dim), np.float32)
        found = self._vectors.take(rows, axis=0, mode="clip")
        found[rows >= len(self._vectors)] = 0.0
        return found

    def has(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows (n,) have a vector."""
        return self.vectors_of(rows).any(axis=1)


NO_VECTORS = HeldVectors("", np.zeros((0, 0), np.float32))
"""no bundle yet"""
