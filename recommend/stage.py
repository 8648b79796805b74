"""The interfaces of stages: small objects with a name, a budget and a rule for failure.

Stage
├── Encoder     gives the person's vector; where it fails the user vector of the stream stands in
├── Retriever   finds candidates; where it fails its fallback is run, or the surface goes on without it
├── Filter      says which candidates may stay; fails open (all stay) or closed (none does)
├── Ranker      scores every candidate, and neither drops nor reorders any; where it fails its fallback scores
├── Reranker    reorders; where it fails the order stays as it was
└── Explainer   gives reasons; where it fails there are none

A stage raises `StageError` where it cannot do its work for a known reason. Any other exception, a result of the wrong
length or type, and a score that is not finite are failures of the stage as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from feature_repo.columns import Mask as Mask  # re-exported
from feature_repo.columns import Rows
from operators.contract import Vector
from recommend.candidate_set import CandidateSet
from recommend.model import Parts
from recommend.query import Query

NONE: Rows = np.zeros(0, np.int64)
"""no candidates"""


class StageError(Exception):
    """A stage cannot do its work, for a reason that callers may read: the text is shown in traces."""


class Scores(NamedTuple):
    """The result of a ranker: scores (n, heads), higher is better, and the features (n, inputs) that it
    computed them from, where it has any."""

    values: npt.NDArray[np.float32]
    heads: tuple[str, ...] = ("score",)
    """what the columns of `values` are called"""
    weights: Mapping[str, float] | None = None
    """the ranker's own objective, head → weight, where the surface has none; all heads alike where this is None too"""
    features: npt.NDArray[np.float32] | None = None
    names: tuple[str, ...] = ()
    """what the columns of `features` are called"""


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why an item is in an answer: a code for programs, a sentence for people, the item that led there."""

    code: str
    text: str
    item_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The interface common to all stages."""

    name: str
    budget_ms: float = 5.0
    """a stage that takes longer is marked in the trace and counted; it is not interrupted"""

    def applies(self, query: Query) -> bool:
        """Whether the stage has anything to do for this query; where not, it is skipped without a failure."""
        return True


@dataclass(frozen=True, kw_only=True)
class Encoder(Stage, ABC):
    """A source of the person's vector, in the space that the surface searches."""

    @abstractmethod
    def encode(self, query: Query) -> Vector | None:
        """Unit vector (dim,); None where it cannot encode the person."""


@dataclass(frozen=True, kw_only=True)
class Retriever(Stage, ABC):
    """A source of candidates."""

    quota: int
    """candidates wanted; more may be returned to make up for those that the filters will remove"""
    fallback: Retriever | None = None

    @abstractmethod
    def find(self, query: Query) -> Rows:
        """Rows (k,), best first."""

    def best(self, query: Query) -> Rows | None:
        """The first rows of `find`, in that order, where a few cost less than all; None where they do not."""
        return None


@dataclass(frozen=True, kw_only=True)
class Filter(Stage, ABC):
    """A condition that candidates have to meet."""

    fails_open: bool = True
    """whether all candidates stay where the filter fails; otherwise all are removed"""
    relaxable: bool = True
    """whether the filter is given up, after those behind it, where nothing at all passes"""

    @abstractmethod
    def keep(self, query: Query, rows: Rows) -> Mask:
        """Which of `rows` (n,) may stay, (n,)."""


@dataclass(frozen=True, kw_only=True)
class Ranker(Stage, ABC):
    """A scorer of candidates. A candidate's score depends on no other candidate."""

    fallback: Ranker | None = None
    fills_behind: bool = False
    """whether candidates that no retriever found score no higher than all others, so that they stay behind them"""

    @abstractmethod
    def score(self, query: Query, rows: Rows) -> Scores:
        """Scores of `rows` (n,); those of several heads are weighed by the surface's objective."""

    def score_each(self, queries: Sequence[Query], rows: Rows) -> Sequence[Scores]:
        """The scores of the same rows for each of several people, whose queries differ in nothing else."""
        return [self.score(query, rows) for query in queries]

    def heads(self, parts: Parts) -> tuple[str, ...]:
        """The heads that it scores by with these parts of a bundle, which an objective can weigh."""
        return ("score",)

    def wanted_pairs(self, query: Query, rows: Rows) -> dict[str, list[str]]:
        """View of pairs → second keys that the ranker reads of the person and these candidates (n,)."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Reranker(Stage, ABC):
    """A change of the order for reasons that a candidate's own score does not hold."""

    def reserved(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        """Positions of the candidates that have to be on the list of `query.length` that pages are cut from, although
        their scores may not be among the best."""
        return NONE

    def kept(self, query: Query, shown: CandidateSet) -> npt.NDArray[np.int64]:
        """Positions of the items of an answer that this re-ranker has given their places: exploration slots leave them
        there."""
        return NONE

    @abstractmethod
    def order(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        """Positions, each once, of the candidates that come first, of `candidates` best first; the others follow in the
        order that they had."""


@dataclass(frozen=True, kw_only=True)
class Explainer(Stage, ABC):
    """A source of reasons."""

    @abstractmethod
    def explain(self, query: Query, candidates: CandidateSet) -> Sequence[Reason | None]:
        """A reason for each candidate, in order; None where there is none."""
