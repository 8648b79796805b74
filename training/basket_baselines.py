"""Baselines of what is bought together: popularity, plain counts, and the item-to-item models of `implicit`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from implicit.utils import ParameterWarning
from scipy import sparse

from training.complete_journey import Purchase

K = 10
"""length of a list"""
NEIGHBOURS = (200, 1000)
AT_ONCE = 500
"""baskets whose scores of all products are in memory at once"""

Hits = npt.NDArray[np.bool_]
Matrix = Any


class Question(NamedTuple):
    """A basket of the test: its cart, and the product that is hidden."""

    basket: Purchase
    cart: list[str]
    hidden: str


class ItemToItem:
    """Baskets × products as a matrix, and lists from item-to-item weights."""

    def __init__(self, past: Sequence[Purchase], test: Sequence[Question]) -> None:
        names = sorted({product for basket in past for product in basket.products} | {q.hidden for q in test})
        self._column = {name: column for column, name in enumerate(names)}
        self.past = self._matrix([basket.products for basket in past])
        self._carts = self._matrix([question.cart for question in test])
        self._hidden = np.array([self._column[question.hidden] for question in test])

    def _matrix(self, lists: Sequence[Sequence[str]]) -> Matrix:
        known = [[column for name in each if (column := self._column.get(name)) is not None] for each in lists]
        indices = np.fromiter((column for each in known for column in each), np.int32)
        starts = np.cumsum([0, *map(len, known)])
        ones = np.ones(len(indices), np.float32)
        return sparse.csr_matrix((ones, indices, starts), shape=(len(lists), len(self._column)))

    def hits(self, scores_of: Callable[[Matrix], npt.NDArray[np.float32]]) -> Hits:
        """Whether each hidden product is among the K best of the scores (n, products) of the carts (n, products)."""
        found = []
        for start in range(0, len(self._hidden), AT_ONCE):
            carts = self._carts[start : start + AT_ONCE]
            scores = scores_of(carts)
            scores[carts.nonzero()] = -np.inf
            best = np.argpartition(-scores, K, axis=1)[:, :K]
            found.append((best == self._hidden[start : start + AT_ONCE, None]).any(axis=1))
        return np.concatenate(found)

    def popularity(self) -> Hits:
        """The products of most baskets."""
        counts = np.asarray(self.past.sum(axis=0), np.float32)
        return self.hits(lambda carts: np.repeat(counts, carts.shape[0], axis=0))

    def counts(self) -> Hits:
        """The number of baskets with each product of the cart, summed."""
        both = (self.past.T @ self.past).tocsr()
        both.setdiag(0)
        return self.hits(lambda carts: (carts @ both).toarray())

    def implicit(self, kind: Any) -> tuple[int, Hits]:
        """The number of neighbours that hits most often in the test, and its hits."""

        def of(neighbours: int) -> Hits:
            model = kind(K=neighbours, num_threads=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ParameterWarning)  # of the COO matrix that it makes itself
                model.fit(self.past, show_progress=False)
            similarity = model.similarity.tocsr().astype(np.float32)
            return self.hits(lambda carts: (carts @ similarity).toarray())

        found = {neighbours: of(neighbours) for neighbours in NEIGHBOURS}
        best = max(found, key=lambda neighbours: found[neighbours].mean())
        return best, found[best]

    def all(self) -> Iterator[tuple[str, Hits]]:
        """(name, hits) of each."""
        yield "popularity", self.popularity()
        yield "co-occurrence counts", self.counts()
        for name, kind in (("cosine", CosineRecommender), ("TF-IDF", TFIDFRecommender), ("BM25", BM25Recommender)):
            neighbours, hits = self.implicit(kind)
            yield f"implicit {name}, {neighbours} neighbours", hits
