"""One request and its candidates: what the ranker's inputs and crosses are computed from, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.columns import MAX_CATEGORIES, ItemColumns, Rows
from feature_repo.item_vectors import NO_VECTORS, ItemVectors
from feature_repo.value import Value
from feature_repo.views import TASTE
from feature_repo.vocabulary import Vocabulary

Column = npt.NDArray[np.floating[Any]]
ONES = np.ones(MAX_CATEGORIES)
"""rows are summed by a product with these, at a third of what `sum(axis=1)` takes"""
SIGNS = {kind: float(np.sign(taste)) for kind, taste in TASTE.items()}
Pairs = Callable[[str, Sequence[str]], Mapping[str, Mapping[str, Any]]]
"""(view, second keys) → the person's rows in a view of pairs: second key → field name → value"""


def no_pairs(view: str, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """No pairs, for a person without any."""
    return {}


@dataclass
class Request:
    """One person's features (field name → value, as in `user_activity`, and declared ones by `Value.key`) at the
    moment of the request."""

    user: Mapping[str, Any]
    items: ItemColumns
    at: int
    """epoch ms"""
    region: str = ""
    space: ItemVectors = NO_VECTORS
    """the vectors of `items` in one space; a user vector of another space is not used"""
    device: str = ""
    query: npt.NDArray[np.float32] | None = None
    """what is searched for, as a unit vector (dim,) of that space"""
    pairs: Pairs = no_pairs

    @property
    def space_id(self) -> str:
        """The id of the items' space, "" where there is none."""
        return self.space.id

    def value(self, value: Value) -> Any:
        """A declared feature of the person; its default where the person has none."""
        found = self.user.get(value.key)
        return value.field.default if found is None else found

    @cached_property
    def vector(self) -> npt.NDArray[np.float32] | None:
        """The user vector (dim,), if it lives in the items' space."""
        if len(self.user["vector"]) == 0 or self.user["vector_space"] != self.space_id:
            return None
        return np.asarray(self.user["vector"], np.float32)

    @cached_property
    def recent(self) -> npt.NDArray[np.float32]:
        """Vectors (k, dim) of the last 20 interactions, each with the sign of its type's weight. A rating counts as
        having been drawn there, whatever its stars: with the stars' sign Recall@20 on MovieLens-100K was 0.210, not
        0.221 (of liked films 0.280, not 0.292). Affinities and the user vector have the stars."""
        pairs = [
            (row, SIGNS.get(kind, 0.0))
            for name, kind in zip(self.user["recent_items"][:20], self.user["recent_types"][:20], strict=True)
            if (row := self.items.row_of.get(name)) is not None
        ]
        rows = np.array([p[0] for p in pairs], np.int64)
        signs = np.array([p[1] for p in pairs], np.float32)
        return self.space.vectors_of(rows) * signs[:, None]


@dataclass
class Candidates:
    """The candidates to rank, as rows of the request's item columns."""

    request: Request
    rows: Rows
    positions: Column | None = None
    """where each stood in the list that was shown, -1 where it did not; None for a list that is yet to be made"""

    def __len__(self) -> int:
        return len(self.rows)

    def for_person(self, request: Request) -> Candidates:
        """The same candidates for a request that differs in the person's features alone. What is read of the items is
        read once for all."""
        found = Candidates(request, self.rows, self.positions)
        for name in ("vectors", "categories", "n_categories", "_fields", "_pairs"):
            found.__dict__[name] = getattr(self, name)
        return found

    # Several inputs read these, and gathering 500 rows out of a large catalogue costs more than computing with them.

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Item vectors (n, dim)."""
        return self.request.space.vectors_of(self.rows)

    @cached_property
    def recent_cosines(self) -> npt.NDArray[np.float32]:
        """Signed cosines (k, n) to the person's last items."""
        return self.request.recent @ self.vectors.T

    @cached_property
    def categories(self) -> npt.NDArray[np.int64]:
        """Category codes (n, 8), 0 where there are fewer."""
        return self.request.items.categories.take(self.rows, axis=0)

    @cached_property
    def n_categories(self) -> Column:
        """How many categories each candidate has; 1 for none, so that one can divide by it."""
        return np.maximum((self.categories > 0) @ ONES, 1)

    def column(self, value: Value) -> Column:
        """A declared feature of each candidate."""
        return self.request.items.value(value.key).take(self.rows)

    def mean(self, field: str, values: Mapping[Any, float], otherwise: float) -> Column:
        """Mean over each candidate's values of an item field (as `ItemColumns.codes` has it) of a number by value;
        `otherwise` where none is given, and where the candidate has no such value."""
        codes, known, n = self._codes(field)
        weights = np.full(int(codes.max(initial=0)) + 1, otherwise, float)
        for name, value in values.items():
            code = known.get(name)
            if code is not None and code < len(weights):
                weights[code] = value
        weights[0] = 0.0
        found = weights.take(codes).sum(axis=1) / np.maximum(n, 1)
        return np.where(n > 0, found, otherwise) if otherwise else found

    def pairs(self, view: str, field: str) -> Mapping[str, Mapping[str, Any]]:
        """The person's rows in a view of pairs with the candidates' values of an item field."""
        if view not in self._pairs:
            names = self.names(field)
            self._pairs[view] = self.request.pairs(view, names) if names else {}
        return self._pairs[view]

    def names(self, field: str) -> list[str]:
        """The candidates' values of an item field, each once."""
        codes, known, _ = self._codes(field)
        there = np.zeros(int(codes.max(initial=0)) + 1, bool)
        there[codes.ravel()] = True
        return [known.names[code] for code in np.flatnonzero(there).tolist() if code]

    @cached_property
    def _pairs(self) -> dict[str, Mapping[str, Mapping[str, Any]]]:
        return {}

    @cached_property
    def _fields(self) -> dict[str, tuple[npt.NDArray[np.int64], Vocabulary, npt.NDArray[np.int64]]]:
        return {}

    def _codes(self, field: str) -> tuple[npt.NDArray[np.int64], Vocabulary, npt.NDArray[np.int64]]:
        """Each candidate's codes of an item field, what they stand for, and how many there are."""
        found = self._fields.get(field)
        if found is None:
            codes, known = self.request.items.codes(field)
            codes = codes.take(self.rows, axis=0)
            found = self._fields[field] = codes, known, (codes > 0).sum(axis=1)
        return found

    def category_mean(self, names: Sequence[str], values: Sequence[float]) -> Column:
        """Mean over each candidate's categories of a value by category name, 0 where it is not given."""
        codes = self.categories
        weights = by_code(self.request.items.category_codes, codes, names, values)
        return weights.take(codes) @ ONES / self.n_categories

    def category_share(self, names: Sequence[str]) -> Column:
        """The share of each candidate's categories that are among these."""
        return self.category_mean(names, [1.0] * len(names))


def by_code(
    known: Mapping[str, int], codes: npt.NDArray[np.int64], names: Sequence[str], values: Sequence[float]
) -> Column:
    """An array of values by code, long enough for `codes`. Another thread may add codes to the vocabulary while it
    reads the catalogue, so the array may be longer than the largest of them."""
    weights = np.zeros(int(codes.max(initial=0)) + 1)
    for name, value in zip(names, values, strict=True):
        code = known.get(name)
        if code and code < len(weights):
            weights[code] = value
    return weights
