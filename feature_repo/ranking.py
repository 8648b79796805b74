"""The ranker's inputs: crosses of a person and candidates, computed alike in training and serving.

Each input is one function over all candidates at once. `matrix` stacks them in the order of
`INPUTS`; a bundle's manifest records that order, and a server refuses a model of another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.columns import UNKNOWN_POPULARITY, ItemColumns, Rows
from feature_repo.views import TASTE
from operators.time import DAY

Column = npt.NDArray[np.floating[Any]]


@dataclass
class Request:
    """One person's features (field name → value, as in `user_activity`) asking at one moment."""

    user: Mapping[str, Any]
    items: ItemColumns
    at: int
    """epoch ms"""
    region: str = ""
    space_id: str = ""
    """the space of `items.vectors`; a user vector of another space is not used"""
    _cache: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What several inputs need, made once a request."""
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]

    @property
    def vector(self) -> npt.NDArray[np.float32] | None:
        """The user vector (dim,), if it lives in the items' space."""
        if len(self.user["vector"]) == 0 or self.user["vector_space"] != self.space_id:
            return None
        return np.asarray(self.user["vector"], np.float32)


def similarity(request: Request, rows: Rows) -> Column:
    """Cosine of user vector and item vector; 0 for a person without one."""
    if request.vector is None:
        return np.zeros(len(rows))
    return request.items.vectors[rows] @ request.vector


def _recent(request: Request) -> tuple[Rows, npt.NDArray[np.float64]]:
    """Rows and signs of the last 20 interactions that say something of taste."""

    def make() -> tuple[Rows, npt.NDArray[np.float64]]:
        pairs = [
            (row, np.sign(TASTE.get(kind, 0.0)))
            for name, kind in zip(request.user["recent_items"][:20], request.user["recent_types"][:20], strict=True)
            if (row := request.items.row_of.get(name)) is not None
        ]
        return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs])

    return request.once("recent", make)


def recent_mean(request: Request, rows: Rows) -> Column:
    """Mean signed cosine to the last 20 items: the cosine to their signed mean, which is cheaper."""
    recent, signs = _recent(request)
    if not len(recent):
        return np.zeros(len(rows))
    vectors = request.items.vectors
    return vectors[rows] @ (signs @ vectors[recent] / len(recent)).astype(np.float32)


def recent_max(request: Request, rows: Rows) -> Column:
    """Largest signed cosine to any of the last 20 items."""
    recent, signs = _recent(request)
    if not len(recent):
        return np.zeros(len(rows))
    vectors = request.items.vectors
    return (vectors[rows] @ (vectors[recent] * signs[:, None].astype(np.float32)).T).max(axis=1)


def _by_code(codes: Mapping[str, int], names: list[str], values: Any) -> Column:
    weights = np.zeros(len(codes) + 1)
    for name, value in zip(names, values, strict=True):
        code = codes.get(name)
        if code:
            weights[code] = value
    return weights


def category_affinity(request: Request, rows: Rows) -> Column:
    """The person's affinity to the candidate's categories, mean over them."""
    user, items = request.user, request.items
    weights = request.once(
        "categories",
        lambda: _by_code(items.category_codes, user["category_affinity"], user["category_affinity_scores"]),
    )
    codes = items.categories[rows]
    return weights[codes].sum(axis=1) / np.maximum((codes > 0).sum(axis=1), 1)


def brand_affinity(request: Request, rows: Rows) -> Column:
    """The person's affinity to the candidate's brand."""
    user, items = request.user, request.items
    weights = _by_code(items.brand_codes, user["brand_affinity"], user["brand_affinity_scores"])
    return weights[items.brand[rows]]


def session_overlap(request: Request, rows: Rows) -> Column:
    """Share of the candidate's categories met in the current session."""
    names = request.user["session_categories"]
    weights = _by_code(request.items.category_codes, names, [1.0] * len(names))
    codes = request.items.categories[rows]
    return weights[codes].sum(axis=1) / np.maximum((codes > 0).sum(axis=1), 1)


def popularity(request: Request, rows: Rows) -> Column:
    """log2 decayed popularity, relative to the most popular item; never below -20."""
    values = request.items.popularity
    top = request.once("top", lambda: values.max(initial=UNKNOWN_POPULARITY))
    return np.maximum(values[rows] - top, -20.0)


def region_popularity(request: Request, rows: Rows) -> Column:
    """The same within the person's region; -20 where nothing is known."""
    values = request.items.popular_in(request.region)
    if values is None:
        return np.full(len(rows), -20.0)
    return np.maximum(values[rows] - values.max(initial=UNKNOWN_POPULARITY), -20.0)


def trend(request: Request, rows: Rows) -> Column:
    """log(1 + events of the last 7 days)."""
    return np.log1p(request.items.events_7d[rows])


def ctr(request: Request, rows: Rows) -> Column:
    """Smoothed click-through rate of the last 7 days."""
    return request.items.ctr_7d[rows]


def age(request: Request, rows: Rows) -> Column:
    """log(1 + days since the item was created); -1 where unknown."""
    created = request.items.created_at[rows]
    days = np.maximum(request.at - created, 0) / DAY
    return np.where(np.isnan(created), -1.0, np.log1p(days))


def history(request: Request, rows: Rows) -> Column:
    """log(1 + interactions remembered): how much to trust the person's own features."""
    return np.full(len(rows), np.log1p(len(request.user["recent_items"])))


def session_depth(request: Request, rows: Rows) -> Column:
    """log(1 + distinct items of the session)."""
    return np.full(len(rows), np.log1p(request.user["session_items"]))


INPUTS: tuple[Callable[[Request, Rows], Column], ...] = (
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


def matrix(request: Request, rows: Rows) -> npt.NDArray[np.float32]:
    """The ranker's input for the candidates at `rows`: float32 (len(rows), len(INPUTS))."""
    out = np.empty((len(rows), len(INPUTS)), np.float32)
    for column, make in enumerate(INPUTS):
        out[:, column] = make(request, rows)
    return out
