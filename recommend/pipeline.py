"""The stages of a request in order: encode, retrieve, filter, rank, re-rank, explain.

Nothing here does I/O, so that the same pipeline answers in the server and in a replay. A server reads the person's
features of pairs between the two halves of an answer: `begin` finds the candidates, `wanted_pairs` says which pairs the
ranker reads of them, `finish` ranks.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from feature_repo.columns import ItemColumns
from recommend import paging, steps
from recommend.candidate_set import CandidateSet, merge
from recommend.explain_events import Moved, moved_by
from recommend.filling import FILL
from recommend.filtering import ItemFilters
from recommend.model import Model
from recommend.popular import Popular
from recommend.query import NO_ROWS, Query
from recommend.rules.rule_set import RuleSet, no_rules
from recommend.rules.stages import ALLOWED, show_effects
from recommend.slots import with_reasons
from recommend.stage import Reason
from recommend.surface import Surface
from recommend.trace import StageTrace, Trace

log = logging.getLogger(__name__)


NOTHING = merge([], ())


class Detail(Struct, frozen=True):
    """How one item came into an answer."""

    sources: list[str]
    """the retrievers that found it"""
    features: dict[str, float]
    """what the ranker computed its scores from, where it said so"""
    scores: dict[str, float]
    """by head of the ranker, before the surface's objective weighs them"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Items in order, with their reasons and the trace."""

    query: Query
    candidates: CandidateSet
    """those that are shown, with their scores"""
    reasons: Sequence[Reason | None]
    trace: list[StageTrace]
    degraded: list[str]
    """steps of which a stage failed"""
    timings_ms: dict[str, float]
    """by step"""
    rest: CandidateSet = field(default_factory=lambda: NOTHING)
    """those that stay on the list for later pages"""
    has_more: bool = False
    """whether a later page may have items"""
    relaxed: int = 0
    """as of `Trace`"""
    marks: Mapping[int, list[str]] = field(default_factory=dict)
    """row → the filters that would have removed it, where the surface reports them"""
    moved: Moved | None = None
    """which of the person's events moved each item, where the query asks for it"""

    @property
    def item_ids(self) -> list[str]:
        """Item ids, best first."""
        ids = self.query.columns.ids
        return [ids[row] for row in self.candidates.rows.tolist()]

    @property
    def scores(self) -> list[float]:
        """The scores of the items; re-rankers may put a lower one first."""
        found = self.candidates.scores
        return [] if found is None else found.tolist()

    @property
    def features(self) -> npt.NDArray[np.float32] | None:
        """The ranker's inputs of each item (n, inputs); None where it did not score them."""
        return self.candidates.features

    def detail(self, position: int) -> Detail:
        """How the item at `position` came into the answer."""
        shown = self.candidates
        return Detail(
            shown.sources_of(position),
            _named(shown.feature_names, shown.features, position),
            _named(shown.head_names, shown.heads, position),
        )


@dataclass
class Begun:
    """An answer whose candidates are found and filtered, and not ranked yet."""

    surface: Surface
    query: Query
    trace: Trace
    candidates: CandidateSet
    broken: bool = False
    """whether the pipeline itself failed, so that `candidates` are the last resort"""
    marks: dict[int, list[str]] = field(default_factory=dict)
    """as of `Answer`"""

    def wanted_pairs(self) -> dict[str, list[str]]:
        """View of pairs → second keys that the surface's ranker reads of the candidates. Never raises."""
        if self.broken or not len(self.candidates):
            return {}
        try:
            return self.surface.ranker.wanted_pairs(self.query, self.candidates.rows)
        except Exception:
            log.exception("%s: the pairs that %s reads are not known", self.surface.name, self.surface.ranker.name)
            return {}


def _named(names: Sequence[str], values: npt.NDArray[np.float32] | None, position: int) -> dict[str, float]:
    if values is None:
        return {}
    return {name: round(value, 5) for name, value in zip(names, values[position].tolist(), strict=False)}


class Pipeline:
    """Answers from columns and a model over them (see recommend/catalogue.py)."""

    def __init__(
        self,
        columns: ItemColumns,
        model: Model | None,
        lists: Popular | None = None,
        filters: ItemFilters | None = None,
        rules: Callable[[], RuleSet] = no_rules,
    ) -> None:
        """`lists` of what is popular and `filters` may be shared by pipelines over the same columns. Where lists are
        not given, they are made anew for each query. `rules` gives those that are in force now."""
        self.columns = columns
        self.model = model
        self.popular = lists or Popular(columns)
        self.filters = filters or ItemFilters(columns)
        """compiles the filters of queries"""
        self.rules = rules
        self._query = functools.partial(Query, columns, model, self.popular)

    @property
    def query(self) -> functools.partial[Query]:
        """Makes a query of these and of the rules of this moment: `at`, and the other fields of `Query` by name."""
        return functools.partial(self._query, rules=self.rules())

    def recommend(self, surface: Surface, query: Query) -> Answer:
        """The surface's answer. Never raises; never empty while an item is available, with a fallback."""
        return self.finish(self.begin(surface, query))

    def begin(self, surface: Surface, query: Query, trace: Trace | None = None) -> Begun:
        """The first half of an answer: encode, retrieve, filter. Never raises."""
        trace = trace or Trace()
        begun = Begun(surface, query, trace, merge([], ()))
        try:
            query.surface, query.rules_of = surface.parts_name, surface.rules_of or surface.name
            query.adds = surface.adds and not surface.reports
            query.rotation = surface.rotation and surface.rotation.on(surface.name)
            with trace.step("encode"):
                query.encoded = steps.encode(surface, query, trace)
            with trace.step("retrieve"):
                query.passing = steps.match(query, trace)
                if query.listed is None:
                    begun.candidates = steps.retrieve(surface, query, trace)
            with trace.step("filter"):
                if query.listed is not None:
                    begun.candidates = paging.left(surface, query, query.listed, trace)
                elif surface.reports:
                    begun.marks = paging.marks(surface, query, begun.candidates, trace)
                else:
                    begun.candidates = steps.filter(surface, query, begun.candidates, trace)
        except Exception:
            self._fail(begun)
        return begun

    def finish(self, begun: Begun) -> Answer:
        """The second half: rank, re-rank, explain. Never raises."""
        surface, query, trace = begun.surface, begun.query, begun.trace
        reasons: Sequence[Reason | None] = []
        rest, has_more, moved = NOTHING, False, None
        if not begun.broken:
            try:
                with trace.step("rank"):
                    begun.candidates = steps.rank(surface, query, begun.candidates, trace)
                    begun.candidates = paging.drop_low(query, begun.candidates, trace)
                with trace.step("rerank"):
                    is_full = len(begun.candidates) >= query.length
                    begun.candidates, rest = paging.page(surface, query, begun.candidates, trace)
                    pages = query.depth > 0 and len(begun.candidates) == query.n
                    has_more = pages and (len(rest) > 0 or is_full)
                with trace.step("explain"):
                    reasons = with_reasons(query, steps.explain(surface, query, begun.candidates, trace))
                    moved = moved_by(surface, query, begun.candidates, trace)
            except Exception:
                self._fail(begun)
                query.drawn = None
                reasons, rest, has_more, moved = [], NOTHING, False, None
        show_effects(query, trace)
        found = begun.candidates
        return Answer(
            query, found, reasons or [None] * len(found), trace.stages, trace.degraded, trace.timings_ms, rest,
            has_more, trace.relaxed, begun.marks, moved,
        )  # fmt: skip

    def _fail(self, begun: Begun) -> None:
        # Stages and their fallbacks are guarded one by one, so that this is a fault of the pipeline itself.
        log.exception("%s: %s failed", begun.surface.name, begun.trace.current)
        begun.trace.fail()
        begun.candidates = _last_resort(begun.query) if begun.surface.fallback else merge([], ())
        begun.broken = True


def _last_resort(query: Query) -> CandidateSet:
    try:
        rows = np.flatnonzero(query.allowed)
        if query.rules.rules:
            rows = rows[ALLOWED.keep(query, rows)]
    except Exception:
        log.exception("the filter failed: none passes")
        rows = NO_ROWS
    found = merge([rows[: query.n]], (FILL,))
    found.scores = np.zeros(len(found), np.float32)
    return found
