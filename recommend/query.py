"""One feed request on its way through the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from feature_repo import views
from feature_repo.candidates import Pairs, Request, no_pairs
from feature_repo.columns import ItemColumns, Rows
from operators.space import BundleSpace
from recommend.model import Model
from recommend.popular import Popular

HALF_LIFE: int = views.USER_VECTOR.half_life
ANCHORS = 20
"""distinct recent items that count as what a person has been drawn to"""


class Source(IntFlag):
    """Which retrievers found a candidate."""

    NEAREST = 1
    SIMILAR = 2
    REGION = 4
    POPULAR = 8


class FeedRequest(NamedTuple):
    """Who asks, as features (field name → value, as in `user_activity`, and declared ones as view:field), when (epoch
    ms), where and on what. `pairs` are the person's features of pairs, read where the ranker asks for them."""

    user: Mapping[str, Any]
    at: int
    region: str = ""
    n: int = 20
    explain: bool = True
    device: str = ""
    query: str = ""
    """what is searched for"""
    pairs: Pairs = no_pairs


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why an item is in the feed: a code for programs, a sentence for people, the item that led there."""

    code: str
    text: str
    item_id: str | None = None


class Anchors(NamedTuple):
    """Items that a person was drawn to lately, newest first, and how much each still pulls (decayed weight)."""

    rows: Rows
    kinds: list[str]
    pull: npt.NDArray[np.float64]


def ranking_of(request: FeedRequest, columns: ItemColumns, space: BundleSpace | None) -> Request:
    """What the ranker's inputs are made of; a new person's vector comes from stated interests."""
    user = request.user
    if space and len(user["vector"]) == 0 and len(user["interests"]) > 0:
        vector = space.tokens_vector([f"category:{name.casefold()}" for name in user["interests"]])
        if vector is not None:
            user = {**user, "vector": vector, "vector_space": space.id}
    return Request(
        user,
        columns,
        request.at,
        request.region,
        space.id if space else "",
        request.device,
        space.text_vector(request.query) if space and request.query else None,
        request.pairs,
    )


@dataclass
class Query:
    """The request and what the stages have made of it so far. Candidates are parallel arrays."""

    request: FeedRequest
    columns: ItemColumns
    model: Model | None
    popular: Popular
    rows: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    sources: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    inputs: npt.NDArray[np.float32] | None = None
    """what the ranker saw of each candidate (n, inputs), once it has scored them"""
    reasons: list[Reason] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    """how many candidates each filter took out"""

    def keep(self, chosen: npt.NDArray[Any]) -> None:
        """Leaves the candidates that a mask or an array of positions chooses, in that order."""
        self.rows, self.sources = self.rows[chosen], self.sources[chosen]
        if len(self.scores):
            self.scores = self.scores[chosen]
        if self.inputs is not None:
            self.inputs = self.inputs[chosen]

    @cached_property
    def from_interests(self) -> bool:
        """Whether stated interests stand in for events that are not there yet."""
        user = self.request.user
        return len(user["vector"]) == 0 and len(user["interests"]) > 0

    @cached_property
    def ranking(self) -> Request:
        """What the ranker's inputs are made of."""
        return ranking_of(self.request, self.columns, self.model.space if self.model else None)

    @cached_property
    def seen(self) -> npt.NDArray[np.uint64]:
        """Hashes of the items that the person has met, ascending."""
        return np.sort(np.frombuffer(self.request.user["seen"], "<u8"))

    @cached_property
    def disliked(self) -> Rows:
        """Rows of recent items that the person turned down, ascending."""
        user = self.request.user
        pairs = zip(user["recent_items"], user["recent_tastes"], strict=False)
        return np.sort(self.columns.rows([item for item, taste in pairs if taste < 0]))

    @cached_property
    def anchors(self) -> Anchors:
        """The person's anchors that have a vector."""
        user, columns = self.request.user, self.columns
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
