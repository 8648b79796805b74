"""One request: who asks, when, where and for what, over which columns and model. Stages read it and never change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo import views
from feature_repo.columns import ItemColumns, Rows
from feature_repo.ranking import Pairs, Request, no_pairs
from operators.space import BundleSpace
from operators.vector import UserVector
from recommend.model import Model
from recommend.popular import Popular

HALF_LIFE: int = next(a.half_life for a in views.user.aggregations if isinstance(a, UserVector))
ANCHORS = 20
"""distinct recent items that count as what a person has been drawn to"""
WIDEST = 3200
"""neighbours that a search is widened to at most where few items are in stock"""

STRANGER: Mapping[str, Any] = MappingProxyType({f.name: f.default for f in views.user.fields})
"""features of somebody of whom nothing is known"""
Explain = Literal["none", "reason", "full"]


class Anchors(NamedTuple):
    """Items that a person was drawn to lately, newest first, and how much each still pulls (decayed weight)."""

    rows: Rows
    kinds: list[str]
    pull: npt.NDArray[np.float64]


def ranking_of(
    user: Mapping[str, Any],
    columns: ItemColumns,
    space: BundleSpace | None,
    at: int,
    region: str = "",
    device: str = "",
    text: str = "",
    pairs: Pairs = no_pairs,
) -> Request:
    """What the ranker's inputs are made of; a new person's vector comes from stated interests. Arguments as the fields
    of `Query`."""
    if space and len(user["vector"]) == 0 and len(user["interests"]) > 0:
        vector = space.tokens_vector([f"category:{name.casefold()}" for name in user["interests"]])
        if vector is not None:
            user = {**user, "vector": vector, "vector_space": space.id}
    searched = space.text_vector(text) if space and text else None
    return Request(user, columns, at, region, space.id if space else "", device, searched, pairs)


@dataclass
class Query:
    """The columns, model and lists of popular items that answer, and the request."""

    columns: ItemColumns
    model: Model | None
    popular: Popular
    at: int
    """epoch ms"""
    user: Mapping[str, Any] = field(default_factory=lambda: STRANGER)
    """feature name → value, as in `user_activity`, and declared ones as view:field"""
    n: int = 20
    region: str = ""
    device: str = ""
    text: str = ""
    """what is searched for"""
    item: int = -1
    """row of the item that others are compared with"""
    category: str = ""
    """only items of this category"""
    pairs: Pairs = no_pairs
    """the person's features of pairs, read where the ranker asks for them"""
    explain: Explain = "reason"

    # -- the model's space: the only places that read vectors and the index ------------------------

    def vectors(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Item vectors (n, dim) of rows (n,), zeros where an item has none."""
        return self.columns.vectors.take(rows, axis=0)

    def has_vector(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows (n,) have a vector."""
        return self.vectors(rows).any(axis=1)

    def nearest(self, vectors: npt.NDArray[np.float32], k: int, wanted: int = 0) -> Rows:
        """Rows (n, k) of the items nearest to each of the vectors (n, dim), nearest first. Where fewer than `wanted` of
        each are available, the search is widened up to WIDEST, and more columns are returned."""
        if self.model is None:
            return np.zeros((len(vectors), 0), np.int64)
        available = self.columns.available
        while True:
            found = self.model.index.nearest(vectors, k)
            in_stock = int(available[found].sum(axis=1).min(initial=wanted))
            if in_stock >= wanted or found.shape[1] < k or k >= WIDEST:
                return found
            # as many as were enough if the share in stock stayed the same, and a quarter more
            k = min(max(2 * k, 5 * k * wanted // (4 * max(in_stock, 1))), WIDEST)

    # -- the person ----------------------------------------------------------------------------------

    @cached_property
    def from_interests(self) -> bool:
        """Whether stated interests stand in for events that are not there yet."""
        return len(self.user["vector"]) == 0 and len(self.user["interests"]) > 0

    @cached_property
    def ranking(self) -> Request:
        """What the ranker's inputs are made of."""
        space = self.model.space if self.model else None
        return ranking_of(self.user, self.columns, space, self.at, self.region, self.device, self.text, self.pairs)

    @cached_property
    def seen(self) -> npt.NDArray[np.uint64]:
        """Hashes of the items that the person has met, ascending."""
        return np.sort(np.frombuffer(self.user["seen"], "<u8"))

    @cached_property
    def disliked(self) -> Rows:
        """Rows of recent items that the person turned down, ascending."""
        pairs = zip(self.user["recent_items"], self.user["recent_tastes"], strict=False)
        return np.sort(self.columns.rows([item for item, taste in pairs if taste < 0]))

    @cached_property
    def anchors(self) -> Anchors:
        """The person's anchors that have a vector."""
        user, columns = self.user, self.columns
        disliked = set(self.disliked.tolist())
        rows: dict[int, tuple[str, float]] = {}
        times = user["recent_times"]
        newest = times[0] if len(times) else 0
        recents = zip(user["recent_items"], user["recent_types"], times, user["recent_tastes"], strict=False)
        for item, kind, at, taste in recents:
            row = columns.row_of.get(item)
            if row is None or taste <= 0 or row in disliked or row in rows:
                continue
            rows[row] = kind, taste * 2.0 ** ((at - newest) / HALF_LIFE)
            if len(rows) == ANCHORS:
                break
        return Anchors(
            np.fromiter(rows, np.int64, len(rows)),
            [kind for kind, _ in rows.values()],
            np.array([pull for _, pull in rows.values()]),
        )
