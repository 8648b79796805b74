"""The HNSW index of a bundle, with live items added beside the trained ones.

hnswlib may not search while it adds, so one lock serves both; additions come in small chunks so that a
search never waits long for them.
"""

from __future__ import annotations

import threading
from pathlib import Path

import hnswlib
import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows

CHUNK = 16
BREADTH = 64
"""least number of neighbours that a search keeps in mind (hnswlib's ef)"""


class ItemIndex:
    """Nearest items by inner product; a label is a row of the item columns."""

    def __init__(self, dim: int, path: Path | None = None, rows: int = 0) -> None:
        """The index at `path` over `rows` items, or an empty one."""
        self.dim = dim
        self._lock = threading.Lock()
        self._index = hnswlib.Index(space="ip", dim=dim)
        capacity = rows + max(rows // 5, 1024)
        if path is None:
            self._index.init_index(max_elements=capacity, M=16, ef_construction=100, random_seed=0)
        else:
            self._index.load_index(str(path), max_elements=capacity)
        self._index.set_num_threads(1)

    def __len__(self) -> int:
        return int(self._index.get_current_count())

    def add(self, rows: Rows, vectors: npt.NDArray[np.float32]) -> None:
        """Adds or moves items: rows (n,), unit vectors (n, dim)."""
        for start in range(0, len(rows), CHUNK):
            chunk = slice(start, start + CHUNK)
            with self._lock:
                index = self._index
                if index.get_current_count() + CHUNK > index.get_max_elements():
                    index.resize_index(2 * index.get_max_elements())
                index.add_items(vectors[chunk], rows[chunk], num_threads=1)

    def nearest(self, vectors: npt.NDArray[np.float32], k: int) -> Rows:
        """Rows (n, k) nearest to each of the vectors (n, dim), nearest first; fewer columns in a small index."""
        with self._lock:
            k = min(k, self._index.get_current_count())
            if not k:
                return np.zeros((len(vectors), 0), np.int64)
            self._index.set_ef(max(k, BREADTH))
            labels, _ = self._index.knn_query(vectors, k=k, num_threads=1)
        return labels.astype(np.int64)
