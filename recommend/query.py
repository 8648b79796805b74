"""One request: person, time, place and parameters, over columns and a model. Stages read it and never change it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from feature_repo import views
from feature_repo.candidates import Pairs, Request, no_pairs
from feature_repo.columns import ItemColumns, Mask, Rows
from feature_repo.item_vectors import NO_VECTORS
from operators.aggregator import ATTRIBUTES
from operators.contexts import contexts_of
from operators.contract import Vector
from operators.hashes import Hashes
from operators.seen import seen_hashes
from recommend.candidate_set import DrawnPlaces
from recommend.candidate_set import Listed as Listed
from recommend.controls import PersonControls, asked
from recommend.favourites import Favourites
from recommend.filtering import ItemFilter, RequestValues
from recommend.model import NO_PARTS, Model, Parts
from recommend.popular import Popular
from recommend.ranking import ranking_of
from recommend.rotation import Rotation, resting
from recommend.rules.rule_set import NO_RULES, RuleSet
from recommend.rules.ruling import Ruling
from recommend.together import Together, together

HALF_LIFE: int = views.USER_VECTOR.half_life
ENOUGH = 0.75
"""share of the neighbours asked for that have to be available; of fewer, the search is repeated with a larger k"""
ANCHORS = 20
"""distinct recent items that count as what a person has been drawn to"""

NO_ROWS: Rows = np.zeros(0, np.int64)
STRANGER: Mapping[str, Any] = MappingProxyType({f.name: f.default for f in views.user.fields})
"""features of somebody of whom nothing is known"""
Explain = Literal["none", "reason", "full", "events"]


class Anchors(NamedTuple):
    """Items of recent positive interactions, newest first, each with its decayed weight."""

    rows: Rows
    kinds: list[str]
    pull: npt.NDArray[np.float64]


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
    depth: int = 0
    """how many items the list has that later requests continue; 0 where none does"""
    listed: Listed | None = None
    """the candidates, where an earlier request has found them"""
    given: Rows = field(default_factory=lambda: NO_ROWS)
    """rows of the items that the request itself names, to be ranked"""
    excluded: Rows = field(default_factory=lambda: NO_ROWS)
    """rows of items that are in no answer, ascending: those that the request excludes, and those of earlier pages"""
    min_score: float | None = None
    """items whose score is below it are not shown; nothing fills the answer up"""
    objective: Mapping[str, float] | None = None
    """head of the surface's ranker → weight, instead of the surface's own objective"""
    region: str = ""
    device: str = ""
    timezone: str = ""
    """IANA name of the time zone that the person is in; that of their profile where empty, and UTC without either"""
    text: str = ""
    """what is searched for"""
    item: int = -1
    """row of the item that others are compared with"""
    cart: Rows = field(default_factory=lambda: NO_ROWS)
    """rows of the items that are to be completed, each once"""
    category: str = ""
    """only items of this category"""
    filter: ItemFilter | None = None
    """only items that pass it, on every surface"""
    rules: RuleSet = NO_RULES
    """of merchandisers, the same ones throughout"""
    user_id: str = ""
    """whose `user` is; empty where the answer is nobody's"""
    others: Mapping[str, Favourites] = field(default_factory=dict)
    """whose favourites (recommend/favourites.py) → what they liked"""
    pairs: Pairs = no_pairs
    """the person's features of pairs, read where the ranker asks for them"""
    diversity: float | None = None
    """0 (relevance alone) … 1 (as diverse as the pool allows) for every re-ranker; None is what the surface has"""
    explain: Explain = "reason"
    language: str = "en"
    """of the texts of reasons (recommend/wording.py)"""
    rules_of: str = "home"
    """the surface whose rules are in force; set by the pipeline"""
    adds: bool = True
    """whether rules may add items; set by the pipeline"""
    surface: str = "home"
    """whose parts of the model are used; set by the pipeline"""
    rotation: Rotation | None = None
    """of the surface; set by the pipeline"""
    passing: Mask | None = None
    """which rows (n,) pass the filter, None without one; set by the pipeline, to none where the filter fails.
    Where it is not set, `allowed` evaluates the filter"""
    encoded: Vector | None = None
    """the person's vector by the model's encoder, where it has one; set by the pipeline"""
    seed: int | None = None
    """of the draws for this request (recommend/slots.py); None where nothing is explored"""
    drawn: DrawnPlaces | None = None
    """what the exploration slots drew; set by the pipeline"""

    @property
    def explains_all(self) -> bool:
        """Whether the answer says what every stage did."""
        return self.explain in ("full", "events")

    # -- the model's parts ---------------------------------------------------------------------------

    @cached_property
    def parts(self) -> Parts:
        """The parts of the model that the surface uses."""
        return self.model.parts(self.surface) if self.model else NO_PARTS

    def vectors(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Item vectors (n, dim) of rows (n,), zeros where an item has none."""
        return (self.parts.space or NO_VECTORS).vectors_of(rows)

    def has_vector(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows (n,) have a vector."""
        return (self.parts.space or NO_VECTORS).has(rows)

    def nearest(self, vectors: npt.NDArray[np.float32], k: int, least: int | None = None) -> Rows:
        """Rows (n, k) of the allowed items nearest to each of the vectors (n, dim), nearest first; fewer columns
        where there are not as many, and where `least` of them (ENOUGH of k where not given) are found without a second
        search."""
        space = self.parts.space
        if space is None:
            return np.zeros((len(vectors), 0), np.int64)
        least = math.ceil(ENOUGH * k) if least is None else least
        return space.nearest(vectors, k, self.allowed, least, self.n_allowed)

    # -- the items that may be in the answer ---------------------------------------------------------

    @property
    def length(self) -> int:
        """How many items the list has that the answer is the beginning of."""
        return max(self.n, self.depth)

    @property
    def is_narrowed(self) -> bool:
        """Whether fewer than all available items are allowed."""
        hides = self.has_rules and self.ruling.plan.hide_key is not None
        return hides or self.filter is not None or len(self.excluded) > 0 or self.controls.removes

    @property
    def has_rules(self) -> bool:
        """Whether any rule is in force."""
        return bool(self.rules.rules)

    @cached_property
    def request_values(self) -> RequestValues:
        """The person and the request as a filter reads them."""
        packed = self.user.get(ATTRIBUTES, b"")
        attributes = msgspec.msgpack.decode(packed) if packed else {}
        person = {"user_id": self.user_id or None, "interests": self.user["interests"], "attributes": attributes}
        return RequestValues(person, self.at, self.region, self.device)

    @cached_property
    def ruling(self) -> Ruling:
        """The rules that are in force for this request."""
        return self.rules.ruling(self.rules_of, self.request_values)

    @cached_property
    def allowed(self) -> Mask:
        """Which rows (n,) are available, not excluded, pass the filter, and are hidden neither by a rule nor by the
        person. Retrievers look for no others, so that neither a strict filter nor a catalogue that is nearly sold out
        leaves the list short."""
        found = self.columns.available
        if not self.is_narrowed:
            return found
        masks = [self.ruling.visible()] if self.has_rules else []
        if self.filter is not None:
            masks.append(self.filter.mask(self.request_values) if self.passing is None else self.passing)
        found = found.copy()
        for mask in masks:
            if mask is not None:
                n = min(len(found), len(mask))
                found = found[:n] & mask[:n]
        found[self.excluded[self.excluded < len(found)]] = False
        return self.controls.allowed(found)

    @cached_property
    def n_allowed(self) -> int:
        """How many rows are allowed, counted once for all searches."""
        return int(np.count_nonzero(self.allowed))

    # -- the person ----------------------------------------------------------------------------------

    @cached_property
    def controls(self) -> PersonControls:
        """What the person has asked for by controls."""
        return PersonControls(self.columns, asked(self.user, self.at))

    @cached_property
    def from_interests(self) -> bool:
        """Whether stated interests replace missing events."""
        return len(self.user["vector"]) == 0 and len(self.user["interests"]) > 0

    @cached_property
    def ranking(self) -> Request:
        """The request as the ranker's inputs read it."""
        space = self.parts.space
        vectors, content = (space, space.content) if space else (NO_VECTORS, None)
        return ranking_of(
            self.user, self.columns, vectors, content, self.at, self.region, self.device, self.text, self.pairs
        )

    @cached_property
    def together(self) -> Together:
        """What is bought together with the items of the cart, and what the person may buy again."""
        return together(self.columns, self.cart, self.at, self.user)

    @cached_property
    def seen(self) -> Hashes:
        """Hashes of the items that the person has met, ascending."""
        return np.sort(seen_hashes(self.user))

    @cached_property
    def resting(self) -> Hashes:
        """Hashes of the items that rest, ascending."""
        return resting(self.user, self.at, self.rotation) if self.rotation else np.zeros(0, np.uint64)

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
            if taste <= 0:
                continue
            row = columns.row_of.get(item)
            if row is None or row in disliked or row in rows:
                continue
            rows[row] = kind, taste * 2.0 ** ((at - newest) / HALF_LIFE)
            if len(rows) == ANCHORS:
                break
        return Anchors(
            np.fromiter(rows, np.int64, len(rows)),
            [kind for kind, _ in rows.values()],
            np.array([pull for _, pull in rows.values()]),
        )

    @cached_property
    def anchor_vectors(self) -> npt.NDArray[np.float32]:
        """Item vectors (n, dim) of the anchors."""
        return self.vectors(self.anchors.rows)

    @cached_property
    def contexts(self) -> tuple[int, ...]:
        """Places among CONTEXTS of the person's time of the week and, where it is known, of their device."""
        return contexts_of(self.at, self.timezone or self.user.get("timezone"), self.device)

    @cached_property
    def liked(self) -> dict[str, float]:
        """Category (case folded) → share of attention; stated interests where there are no events."""
        user = self.user
        if self.from_interests:
            return {name.casefold(): 1.0 for name in user["interests"]}
        pairs = zip(user["category_affinity"], user["category_affinity_scores"], strict=True)
        return {name.casefold(): float(share) for name, share in pairs}
