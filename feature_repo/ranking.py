"""The ranker's inputs: crosses of a person and candidates, computed alike in training and serving.

Each input is one function over all candidates at once. `matrix` stacks them in the order of
`INPUTS`, and those that are declared (`feature_repo.crosses`) after them; a bundle's manifest records
that order, and a server refuses a model of inputs that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.age import ages
from feature_repo.columns import ItemColumns, Rows, Vocabulary
from feature_repo.crosses import Cross, Value
from feature_repo.views import TASTE
from operators.time import DAY

Column = npt.NDArray[np.floating[Any]]
Pairs = Callable[[str, Sequence[str]], Mapping[str, Mapping[str, Any]]]
"""(view, second keys) → the person's rows in a view of pairs: second key → field name → value"""


def no_pairs(view: str, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Those of a person of whom none are known."""
    return {}


@dataclass
class Request:
    """One person's features (field name → value, as in `user_activity`, and declared ones by `Value.key`) asking at one
    moment."""

    user: Mapping[str, Any]
    items: ItemColumns
    at: int
    """epoch ms"""
    region: str = ""
    space_id: str = ""
    """the space of `items.vectors`; a user vector of another space is not used"""
    device: str = ""
    query: npt.NDArray[np.float32] | None = None
    """what is searched for, as a unit vector (dim,) of that space"""
    pairs: Pairs = no_pairs

    def value(self, value: Value) -> Any:
        """A declared feature of the person; its default where it is not known."""
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
            (row, np.sign(TASTE.get(kind, 0.0)))
            for name, kind in zip(self.user["recent_items"][:20], self.user["recent_types"][:20], strict=True)
            if (row := self.items.row_of.get(name)) is not None
        ]
        rows = np.array([p[0] for p in pairs], np.int64)
        signs = np.array([p[1] for p in pairs], np.float32)
        return self.items.vectors[rows] * signs[:, None]


@dataclass
class Candidates:
    """What is to be ranked: rows of the request's item columns."""

    request: Request
    rows: Rows
    positions: Column | None = None
    """where each stood in the list that was shown, -1 where it did not; None for a list that is yet to be made"""

    def __len__(self) -> int:
        return len(self.rows)

    # Several inputs read these. Gathering 500 rows out of a large catalogue costs more than what is made of them, and
    # `take` gathers whole rows at a third of what indexing does.

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Item vectors (n, dim)."""
        return self.request.items.vectors.take(self.rows, axis=0)

    @cached_property
    def recent_cosines(self) -> npt.NDArray[np.float32]:
        """Signed cosines (k, n) to the person's last items."""
        return self.request.recent @ self.vectors.T

    @cached_property
    def categories(self) -> npt.NDArray[np.int64]:
        """Category codes (n, 8), 0 where there are fewer."""
        return self.request.items.categories.take(self.rows, axis=0)

    @cached_property
    def n_categories(self) -> npt.NDArray[np.int64]:
        """How many categories each candidate has; 1 for none, so that one can divide by it."""
        return np.maximum((self.categories > 0).sum(axis=1), 1)

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
        weights = _by_code(self.request.items.category_codes, names, values)
        return weights.take(self.categories).sum(axis=1) / self.n_categories


def _by_code(codes: Mapping[str, int], names: Sequence[str], values: Sequence[float]) -> Column:
    weights = np.zeros(len(codes) + 1)
    for name, value in zip(names, values, strict=True):
        code = codes.get(name)
        if code:
            weights[code] = value
    return weights


def similarity(of: Candidates) -> Column:
    """Cosine of user vector and item vector; 0 for a person without one."""
    vector = of.request.vector
    return np.zeros(len(of)) if vector is None else of.vectors @ vector


def recent_mean(of: Candidates) -> Column:
    """Mean signed cosine to the last 20 items."""
    return of.recent_cosines.mean(axis=0) if len(of.request.recent) else np.zeros(len(of))


def recent_max(of: Candidates) -> Column:
    """Largest signed cosine to any of the last 20 items."""
    return of.recent_cosines.max(axis=0) if len(of.request.recent) else np.zeros(len(of))


def category_affinity(of: Candidates) -> Column:
    """The person's affinity to the candidate's categories, mean over them."""
    user = of.request.user
    return of.category_mean(user["category_affinity"], user["category_affinity_scores"])


def brand_affinity(of: Candidates) -> Column:
    """The person's affinity to the candidate's brand."""
    user, items = of.request.user, of.request.items
    weights = _by_code(items.brand_codes, user["brand_affinity"], user["brand_affinity_scores"])
    return weights[items.brand[of.rows]]


def session_overlap(of: Candidates) -> Column:
    """Share of the candidate's categories met in the current session."""
    names = of.request.user["session_categories"]
    return of.category_mean(names, [1.0] * len(names))


def popularity(of: Candidates) -> Column:
    """log2 decayed popularity, relative to the most popular item; never below -20."""
    items = of.request.items
    return np.maximum(items.popularity[of.rows] - items.most_popular(), -20.0)


def region_popularity(of: Candidates) -> Column:
    """The same within the person's region; -20 where nothing is known."""
    items, region = of.request.items, of.request.region
    values = items.popular_in(region)
    if values is None:
        return np.full(len(of), -20.0)
    return np.maximum(values[of.rows] - items.most_popular(region), -20.0)


def trend(of: Candidates) -> Column:
    """log(1 + events of the last 7 days)."""
    return np.log1p(of.request.items.events_7d[of.rows])


def ctr(of: Candidates) -> Column:
    """Smoothed click-through rate of the last 7 days."""
    return of.request.items.ctr_7d[of.rows]


def age(of: Candidates) -> Column:
    """log(1 + days since the item was created); -1 where unknown, or still to come."""
    days = ages(of.request.items.created_at[of.rows], of.request.at) / DAY
    return np.where(np.isnan(days), -1.0, np.log1p(days))


def history(of: Candidates) -> Column:
    """log(1 + interactions remembered): how much to trust the person's own features."""
    return np.full(len(of), np.log1p(len(of.request.user["recent_items"])))


def session_depth(of: Candidates) -> Column:
    """log(1 + distinct items of the session)."""
    return np.full(len(of), np.log1p(of.request.user["session_items"]))


Input = Callable[[Candidates], Column]

INPUTS: tuple[Input, ...] = (
    similarity,
    recent_mean,
    recent_max,
    category_affinity,
    brand_affinity,
    session_overlap,
    popularity,
    region_popularity,
    trend,
    ctr,
    age,
    history,
    session_depth,
)
NAMES = tuple(f.__name__ for f in INPUTS)


def names(crosses: Sequence[Cross] = ()) -> tuple[str, ...]:
    """What the inputs are called, in their order."""
    return (*NAMES, *(cross.name for cross in crosses))


def matrix(
    request: Request, rows: Rows, crosses: Sequence[Cross] = (), positions: Column | None = None
) -> npt.NDArray[np.float32]:
    """The ranker's input for the candidates at `rows`: float32 (len(rows), inputs); `positions` as in Candidates."""
    candidates = Candidates(request, rows, positions)
    inputs: tuple[Input, ...] = (*INPUTS, *crosses)
    out = np.empty((len(rows), len(inputs)), np.float32)
    for column, make in enumerate(inputs):
        out[:, column] = make(candidates)
    return out
