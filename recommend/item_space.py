"""One embedding space of a model over the server's item columns: rows to labels and back, vectors, and the index.

Rows are the process's, labels are the model's. Labels 0 … n-1 are the bundle's items, whose vectors stay on disk,
memory-mapped; labels from n on are items that joined by their content, in a block that grows.

One thread at a time changes a space while others read it: the mapping from rows to labels is written last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns, Mask, Rows
from operators.contract import Vector
from operators.space import LEARNED, Content, origin, tokens
from recommend.index import ItemIndex
from schemas.bundle import Bundle
from schemas.errors import BundleError
from schemas.events import Item

Vectors = npt.NDArray[np.float32]

MOST_FETCHED = 4096
"""largest over-fetch of a filtered search; beyond it an exact product over the items that pass costs less"""
LABEL_COST = 20
"""what a label fetched from the graph costs, in vectors of an exact product: 1.1 µs and 0.05 µs, measured on one core
with 100,000 items of 64 dimensions"""
MARGIN = 1.2
"""how many more labels are fetched at most than should do by the share of items that pass"""
PRODUCT = 65_536
"""vectors multiplied at once"""


class ItemSpace:
    """Implements `operators.contract.Space` and `feature_repo.item_vectors.ItemVectors`."""

    def __init__(
        self,
        space_id: str,
        vectors: Vectors,
        origins: npt.NDArray[np.uint64],
        content: Content,
        columns: ItemColumns,
        rows: Rows,
        index: ItemIndex | None,
    ) -> None:
        """Item `label` of the bundle has `vectors[label]` (items, dim), made as `origins[label]` says, and the row
        `rows[label]` of the columns. Without an index every search is an exact product.

        Raises BundleError where lengths differ or two items share a row.
        """
        n, dim = vectors.shape
        if len(rows) != n or len(origins) != n:
            raise BundleError(f"space {space_id}: items, vectors and origins differ in length")
        if index is not None and (index.dim != dim or not index.holds(n)):
            raise BundleError(f"space {space_id}: the labels of its index are not those of its {n} items")
        if len(np.unique(rows)) != n:
            raise BundleError(f"space {space_id}: an item id stands twice")
        self.id, self.dim, self.content, self.index = space_id, dim, content, index
        self._columns = columns
        self._trained, self._origins = vectors, origins
        self._block = np.zeros((0, dim), np.float32)
        self._n = self._bundled = n
        self._rows = np.asarray(rows, np.int32).copy()
        self._labels = np.full(max(columns.n, 1), -1, np.int32)
        self._labels[self._rows] = np.arange(n, dtype=np.int32)
        self._dropped: dict[int, int] = {}
        """row → label of items that have lost their content"""
        self._moved: dict[int, int] = {}
        """label of the bundle → origin, where its content has changed since training"""

    @classmethod
    def of(
        cls, bundle: Bundle, name: str, columns: ItemColumns, rows_of: Callable[[list[str]], list[int]]
    ) -> ItemSpace:
        """The space `name` of a verified bundle; `rows_of` gives items rows, new ones where they have none yet.

        Raises BundleError.
        """
        stored = bundle.space(name)
        found = [np.array(rows_of(chunk), np.int64) for chunk in stored.item_ids()]
        rows = np.concatenate(found) if found else np.zeros(0, np.int64)
        content = Content((token for chunk in stored.tokens() for token in chunk), stored.content, stored.part.dim)
        index = ItemIndex(stored.part.dim, stored.index, stored.part.items) if stored.index else None
        return cls(stored.part.id, stored.vectors, stored.origins, content, columns, rows, index)

    def __len__(self) -> int:
        """The number of items with a vector."""
        return self._n - len(self._dropped)

    # -- reading -------------------------------------------------------------------------------

    def vector(self, item_id: str) -> Vector | None:
        """Unit vector (dim,), or None where the space has none of the item."""
        row = self._columns.row_of.get(item_id)
        labels = self._labels
        if row is None or row >= len(labels) or labels[row] < 0:
            return None
        label = int(labels[row])
        return self._trained[label] if label < self._bundled else self._block[label - self._bundled]

    def labels_of(self, rows: Rows) -> npt.NDArray[np.int32]:
        """Labels (n,) of rows (n,), -1 where the space has none."""
        labels = self._labels
        found = labels.take(rows, mode="clip")
        if len(rows) and rows.max() >= len(labels):
            found[rows >= len(labels)] = -1
        return found

    def has(self, rows: Rows) -> Mask:
        """Which rows (n,) have a vector."""
        return self.labels_of(rows) >= 0

    def vectors_of(self, rows: Rows) -> Vectors:
        """Unit vectors (n, dim) of rows (n,); zeros where the space has none."""
        return self.by_label(self.labels_of(rows))

    @property
    def rows(self) -> Rows:
        """Rows of the bundle's items, in the order of labels."""
        return self._rows[: self._bundled].astype(np.int64)

    @property
    def bundled(self) -> int:
        """The number of labels of the bundle; encoders take no others."""
        return self._bundled

    def nearest(
        self,
        vectors: Vectors,
        k: int,
        keep: Mask | None = None,
        least: int | None = None,
        n_kept: int | None = None,
    ) -> Rows:
        """Rows (n, min(k, number of items)) nearest to each of the vectors (n, dim) by inner product, nearest first.

        `keep` is a mask over the rows of the columns: only items that pass are found, and counted, unless `n_kept` says
        how many they are. The index is asked for as many labels as the share of items that pass calls for, and for more
        until k pass, or `least` where that is given; then fewer than k columns are returned. Where the product with all
        that pass costs less, or the graph does not lead to enough items, that product is taken. Never raises for
        vectors that are finite.
        """
        if self.index is None:
            return self._exact(vectors, k, keep)
        if keep is None:
            labels = self.index.search(vectors, k)
            return self._exact(vectors, k, None) if labels is None else self._rows[labels].astype(np.int64)
        passing = int(np.count_nonzero(keep)) if n_kept is None else n_kept
        share = passing / max(len(keep), 1)
        fetched = _fetched(k, share)
        if passing <= LABEL_COST * fetched:
            return self._exact(vectors, k, keep)
        while fetched <= max(MOST_FETCHED, k):
            labels = self.index.search(vectors, fetched)
            if labels is None:
                break
            rows = self._rows.take(labels).astype(np.int64)
            passes = _passes(rows, keep)
            if passes.all():
                return rows[:, :k]
            passing = int(passes.sum(axis=1).min())
            if passing >= (k if least is None else least):
                return np.stack([found[kept][: min(k, passing)] for found, kept in zip(rows, passes, strict=True)])
            if labels.shape[1] < fetched:
                break  # these were all
            share = max(float(passes.mean()), 1 / MOST_FETCHED)
            fetched = max(2 * fetched, int(1.5 * k / share))
        return self._exact(vectors, k, keep)

    def _exact(self, vectors: Vectors, k: int, keep: Mask | None) -> Rows:
        rows = self._rows[: self._n].astype(np.int64) if keep is None else np.flatnonzero(keep)
        labels = self.labels_of(rows)
        labels = labels[labels >= 0]
        scores = np.empty((len(vectors), len(labels)), np.float32)
        for start in range(0, len(labels), PRODUCT):
            part = slice(start, start + PRODUCT)
            scores[:, part] = vectors @ self.by_label(labels[part]).T
        if k < len(labels):
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k else np.zeros((len(vectors), 0), np.int64)
        else:
            best = np.broadcast_to(np.arange(len(labels)), scores.shape)
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        return self._rows[labels[np.take_along_axis(best, order, axis=1)]].astype(np.int64)

    def by_label(self, labels: npt.NDArray[np.signedinteger[Any]]) -> Vectors:
        """Unit vectors (n, dim) of labels (n,); zeros for -1."""
        block, n = self._block, self._bundled
        if not len(labels):
            return np.zeros((0, self.dim), np.float32)
        if labels.min() >= 0 and labels.max() < n:
            return self._trained.take(labels, axis=0)
        found = self._trained.take(labels, axis=0, mode="clip") if n else np.empty((len(labels), self.dim), np.float32)
        joined = labels >= n
        found[joined] = block[labels[joined] - n]
        found[labels < 0] = 0.0
        return found

    def differs(self, rows: Rows) -> Mask:
        """Which rows (n,) have another vector than the bundle gave them, or none."""
        labels = self.labels_of(rows)
        found: Mask = (labels < 0) | (labels >= self._bundled)
        if self._moved:  # a lookup for each of the rows: there may be many more that have moved
            found |= np.fromiter(map(self._moved.__contains__, labels.tolist()), bool, len(labels))
        return found

    # -- changes -------------------------------------------------------------------------------

    def learned(self, rows: Rows) -> Mask:
        """Which rows (n,) have a vector that behaviour is part of: their catalogue entries do not change it."""
        labels = self.labels_of(rows)
        if not self._bundled:
            return np.zeros(len(labels), bool)
        origins = self._origins.take(labels, mode="clip")
        return (labels >= 0) & (labels < self._bundled) & (origins == LEARNED)

    def put_item(self, row: int, item: Item) -> None:
        """Applies a catalogue entry: an item without a learned vector gets that of its content."""
        label = int(self.labels_of(np.array([row]))[0])
        if 0 <= label < self._bundled and self._origins[label] == LEARNED:
            return
        names = tokens(item)
        made = origin(names)
        if self._made_of(row, label) == made:
            return
        vector = self.content.bag(names)
        if vector is not None:
            self._put(row, label, vector, made)
        elif label >= 0:
            self._drop(row, label)

    def set(self, row: int, vector: Vector | None) -> None:
        """Gives an item this vector, or none, whatever its content says: a space as it was at another time."""
        label = int(self.labels_of(np.array([row]))[0])
        if vector is not None:
            self._put(row, label, vector, 0)
        elif label >= 0:
            self._drop(row, label)

    def _made_of(self, row: int, label: int) -> int | None:
        if label < 0:
            return None
        found = self._moved.get(label)
        return int(self._origins[label]) if found is None and label < self._bundled else found

    def _put(self, row: int, label: int, vector: Vector, made: int) -> None:
        label = self._dropped.pop(row, self._n) if label < 0 else label
        if label >= len(self._rows):
            self._grow_labels()
        if label < self._bundled:
            self._trained[label] = vector  # copy-on-write: the file stays as it is
        else:
            self._block[label - self._bundled] = vector
        if row >= len(self._labels):
            grown = np.full(max(2 * len(self._labels), row + 1), -1, np.int32)
            grown[: len(self._labels)] = self._labels
            self._labels = grown
        self._moved[label] = made
        self._rows[label] = row
        self._labels[row] = label
        self._n = max(self._n, label + 1)
        if self.index is not None:
            self.index.add(np.array([label]), vector[None])

    def _grow_labels(self) -> None:
        room = max(len(self._block), 256)
        self._block = np.concatenate([self._block, np.zeros((room, self.dim), np.float32)])
        self._rows = np.concatenate([self._rows, np.zeros(room, np.int32)])

    def _drop(self, row: int, label: int) -> None:
        if self.index is not None:
            self.index.remove(label)
        self._labels[row] = -1
        self._moved.pop(label, None)
        self._dropped[row] = label


def _fetched(k: int, share: float) -> int:
    """How many labels to ask for so that k of them pass, where that share of all does: their mean (of a negative
    binomial) and three standard deviations, or MARGIN times the mean where that is less."""
    mean = k / max(share, 1e-9)
    return math.ceil(min(MARGIN * mean, mean + 3.0 * math.sqrt((1.0 - share) * k) / max(share, 1e-9)))


def _passes(rows: Rows, keep: Mask) -> Mask:
    """Which rows a mask over the columns lets pass; rows that are newer than the mask do not."""
    if not len(keep):
        return np.zeros(rows.shape, bool)
    return keep.take(rows, mode="clip") & (rows < len(keep))
