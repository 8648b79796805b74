"""A surface: the stages of one kind of answer, as a value. A variant of it is made with `dataclasses.replace`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from recommend.candidate_set import MAX_RETRIEVERS
from recommend.digest import DigestPlan
from recommend.rotation import Rotation
from recommend.slots import ExplorationSlots
from recommend.stage import Encoder, Explainer, Filter, Ranker, Reranker, Retriever, Stage

FEED = "GET /v1/users/{id}/feed"
"""the call that serves every personal surface, by its parameter `surface`"""

OWN_SOURCES = 2
"""sources that every surface has: its fallback, and rules"""


class Paging(NamedTuple):
    """The default and the largest number of items in an answer, and how many best items are put on one list, of which
    pages are cut until it is used up and a new one is made."""

    default: int = 20
    most: int = 200
    depth: int = 200


PAGING = Paging()


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Stages in the order in which they run."""

    name: str
    title: str = ""
    """for people; made of the name where empty"""
    doc: str = ""
    """what it shows, in one sentence"""
    call: str = FEED
    """method and path of the request that it answers"""
    personal: bool = False
    """whether it answers a person; `/v1/users/{id}/feed` serves all that do"""
    encoder: Encoder | None = None
    retrievers: tuple[Retriever, ...]
    filters: tuple[Filter, ...]
    ranked: int = 500
    """candidates that go on to the ranker at most"""
    ranker: Ranker
    objective: Mapping[str, float] | None = None
    """head of the ranker → weight, such as `{"click": 1, "buy": 3}`: what is ranked by is their weighted sum. Heads
    that the ranker of the bundle in force does not have are left out, and the trace says which. None, and an objective
    of which no head is there, leaves the weights to the ranker, as a bundle names those of its own"""
    price_level: float = 0.0
    """-1 … 1: cheaper items are preferred below 0, dearer ones above (recommend/price_level.py)"""
    rotation: Rotation | None = None
    """how items that were shown and not taken rest; None shows them for as long as they score well"""
    rerankers: tuple[Reranker, ...] = ()
    exploration: ExplorationSlots | None = None
    """places that a bandit policy fills, after the re-rankers (docs/exploration.md)"""
    explainer: Explainer | None = None
    fallback: Retriever | None = None
    """fills the answer up where fewer than n candidates pass the filters. By the way they are made, its rows meet every
    filter that fails closed"""
    paging: Paging = PAGING
    parts_of: str = ""
    """the surface whose parts of a bundle are used; its own where empty"""
    rules_of: str = ""
    """the surface whose rules are in force; its own where empty"""
    adds: bool = True
    """whether rules may add items: not where each has to be what the title of the list says"""
    digest: DigestPlan | None = None
    """how it is sent as messages (`freshet digests`); None where it is not"""
    reads: frozenset[str] = frozenset()
    """whose favourites its stages read (recommend/favourites.py), which are hydrated for it alone"""
    reports: bool = False
    """whether the list is the caller's own: filters mark the candidates that they would remove, and remove none, and
    rules neither add nor move any"""

    def __post_init__(self) -> None:
        """Raises ValueError where the stages do not fit together, or a number is out of range."""
        names = [retriever.name for retriever in self.retrievers]
        if len(set(names)) < len(names) or len(names) > MAX_RETRIEVERS - OWN_SOURCES:
            raise ValueError(
                f"{self.name}: retrievers need different names; at most {MAX_RETRIEVERS - OWN_SOURCES} fit"
            )
        if self.reports and self.exploration is not None:
            raise ValueError(f"{self.name}: a list of the caller's own has no exploration slots: leave one of them out")
        if not -1 <= self.price_level <= 1:
            raise ValueError(f"{self.name}: price_level is {self.price_level}; it is from -1 (cheaper) to 1 (dearer)")
        for head, weight in (self.objective or {}).items():
            if not math.isfinite(weight):
                raise ValueError(f"{self.name}: the objective weighs {head} by {weight}; weights are finite numbers")

    @property
    def heading(self) -> str:
        """The title, or the name as words."""
        return self.title or self.name.replace("_", " ").capitalize()

    @property
    def parts_name(self) -> str:
        """The name under which a bundle has its parts."""
        return self.parts_of or self.name

    @property
    def stages(self) -> list[tuple[str, Stage]]:
        """(step, stage) in the order in which they run, without fallbacks and without what runs on every surface."""
        found: list[tuple[str, Stage]] = [("encode", self.encoder)] if self.encoder else []
        found += [("retrieve", retriever) for retriever in self.retrievers]
        found += [("filter", each) for each in self.filters]
        found.append(("rank", self.ranker))
        found += [("rerank", reranker) for reranker in self.rerankers]
        if self.exploration:
            found.append(("rerank", self.exploration))
        return [*found, ("explain", self.explainer)] if self.explainer else found
