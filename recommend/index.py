"""An HNSW index over labels, which can be searched while items are added.

hnswlib may not search while it adds, so one lock serves both; additions come in small chunks so that a
search never waits long for them.
"""

from __future__ import annotations

import threading
from pathlib import Path

import hnswlib
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
CHUNK = 16
BREADTH = 64
"""minimum search width (hnswlib's ef)"""
WIDER = 4
"""how much wider a search is tried that found too few"""


class ItemIndex:
    """Nearest labels by inner product."""

    def __init__(self, dim: int, path: Path | None = None, items: int = 0) -> None:
        """The index at `path` over `items` items, or an empty one."""
        self.dim = dim
        self._lock = threading.Lock()
        self._removed: set[int] = set()
        self._index = hnswlib.Index(space="ip", dim=dim)
        capacity = items + max(items // 5, 1024)
        if path is None:
            self._index.init_index(max_elements=capacity, M=16, ef_construction=100, random_seed=0)
        else:
            self._index.load_index(str(path), max_elements=capacity)
        self._index.set_num_threads(1)

    def __len__(self) -> int:
        return int(self._index.get_current_count()) - len(self._removed)

    def holds(self, n: int) -> bool:
        """Whether the labels are 0 … n-1."""
        with self._lock:
            found = np.array(self._index.get_ids_list(), np.int64)
        return len(found) == n and np.array_equal(np.sort(found), np.arange(n))

    def add(self, labels: Labels, vectors: npt.NDArray[np.float32]) -> None:
        """Adds or moves items: labels (n,), unit vectors (n, dim)."""
        for start in range(0, len(labels), CHUNK):
            chunk = slice(start, start + CHUNK)
            with self._lock:
                index = self._index
                if index.get_current_count() + CHUNK > index.get_max_elements():
                    index.resize_index(2 * index.get_max_elements())
                for label in self._removed.intersection(labels[chunk].tolist()):
                    index.unmark_deleted(label)
                    self._removed.discard(label)
                index.add_items(vectors[chunk], labels[chunk], num_threads=1)

    def remove(self, label: int) -> None:
        """Excludes an item from results until it is added again."""
        with self._lock:
            if label not in self._removed:
                self._index.mark_deleted(label)
                self._removed.add(label)

    def search(self, vectors: npt.NDArray[np.float32], k: int) -> Labels | None:
        """Labels (n, k) nearest to each of the vectors (n, dim), nearest first, fewer columns in a small index; None
        where the graph does not lead to as many, as happens where many items have one and the same vector."""
        with self._lock:
            k = min(k, len(self))
            if not k:
                return np.zeros((len(vectors), 0), np.int64)
            width = max(k, BREADTH)
            for breadth in (width, WIDER * width):
                self._index.set_ef(breadth)
                try:
                    labels, _ = self._index.knn_query(vectors, k=k, num_threads=1)
                except RuntimeError:  # "Cannot return the results in a contiguous 2D array"
                    continue
                return np.asarray(labels, np.int64)
        return None
