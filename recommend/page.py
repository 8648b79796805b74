"""A page of rows: which rows a person gets, in which order, and which items each has.

Every kind of row (recommend/page_rows.py) that suits the person is answered as the surface that it is. The candidates
of all are then scored once by the ranker of the home feed, so that rows can be compared, and rows are chosen one after
the other: each time the one of the largest

    value(r) = SAME^s · Σ over j of v(i_j) / log2(j + 2)

i_0, i_1 … are the first `per_row` items of the row, in its own order, that no row above has; v(i) is the score of the
item, scaled to 0 … 1 between the lowest and the highest of the page; s is the number of rows of the same kind above.
The discount of a position is that of DCG (Järvelin and Kekäläinen, 2002). The page is worth Σ over p of
value(r_p) / log2(p + 2) over the places of rows, so that the greedy choice puts the best row where it counts most.

Rules hide, bury and reorder items in every row. Those that they add are in the row "For you" alone.

Nothing here does I/O. As an answer, a page has two halves, between which a server reads features of pairs.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Mask, Rows
from recommend import steps
from recommend.candidate_set import CandidateSet, merge
from recommend.favourites import ALIKE, FRIENDS
from recommend.page_rows import FOR_YOU, KINDS, RowKind, RowPlan
from recommend.pipeline import NOTHING, Answer, Begun, Pipeline
from recommend.query import NO_ROWS, Query
from recommend.rankers import ByPopularity, Scored
from recommend.stage import Reason
from recommend.surface import Surface
from recommend.trace import STEPS, Trace

log = logging.getLogger(__name__)

SAME = 0.7
"""what a row is worth for each row of its kind above it"""
VALUED = 2
"""times `per_row`: so many first candidates of a row in an order of its own are scored; others count as the lowest"""
READS = frozenset({FRIENDS, ALIKE})
"""whose favourites rows are made from"""
MOST_FOUND = 200
"""candidates of a row at most"""
ARRANGED = 4
"""times `per_row`: candidates of a row that rules arrange, which are all that it has"""
OF_PERSON = frozenset({"controls", "seen", "disliked", "anchors", "liked", "from_interests"})
"""cached properties of a query that depend on the person alone"""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PageRow:
    """One row: its kind and plan, the answer with the items that it shows, and its value when it was chosen."""

    kind: RowKind
    plan: RowPlan
    answer: Answer
    value: float


@dataclass(frozen=True)
class Page:
    """Rows in order; no item is in two of them."""

    rows: list[PageRow]
    degraded: list[str]
    """steps that failed in any row, and `row:` and the kind of those that were left out since they failed"""
    answers: list[tuple[Answer, Surface]]
    """of all rows that were considered, for metrics"""


@dataclass(frozen=True)
class Candidate:
    """A row that may be on the page: items in its order, and what each is worth."""

    kind: str
    rows: Rows
    values: Values
    least: int = 1
    """items that the row needs, unless rows are shorter"""


@dataclass
class BegunPage:
    """A page whose candidates are found and filtered, and not ranked yet."""

    query: Query
    rows: int
    per_row: int
    begun: list[tuple[RowKind, RowPlan, Begun]] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    """kinds that are left out"""
    trace: Trace = field(default_factory=Trace)
    """of what is computed of all rows together"""

    def wanted_pairs(self) -> dict[str, list[str]]:
        """View of pairs → second keys that the ranker reads of the candidates. Never raises."""
        of_page = next((begun for kind, _, begun in self.begun if kind is FOR_YOU), None)
        if of_page is None or of_page.broken:
            return {}
        rows = np.concatenate([begun.candidates.rows for _, _, begun in self.begun])
        everything = replace(of_page, candidates=merge([np.unique(rows)], ("page",)))
        return everything.wanted_pairs()


def begin(
    pipeline: Pipeline,
    query: Query,
    rows: int,
    per_row: int,
    kinds: Sequence[RowKind] = KINDS,
    trace: Callable[[], Trace] = Trace,
) -> BegunPage:
    """The first half of a page for the query's person: at most `rows` rows of `per_row` items. `trace` makes that of
    each row, and of the page. Never raises."""
    page = BegunPage(query, rows, per_row, trace=trace())
    for kind in kinds:
        try:
            plans = kind.plan(query, pipeline.filters)
        except Exception:
            log.exception("rows of the kind %s cannot be planned", kind.name)
            page.failed.add(kind.name)
            continue
        for plan in plans:
            row = query_of(page, kind, plan)
            page.begun.append((kind, plan, pipeline.begin(kind.surface, row, trace())))
    return page


def query_of(page: BegunPage, kind: RowKind, plan: RowPlan) -> Query:
    """The query of a row of the page."""
    query, per_row = page.query, page.per_row
    found = min((kind.times or page.rows) * per_row, MOST_FOUND)
    # Rules arrange what is shown alone, and rows above may take some of it.
    n = min(found, ARRANGED * per_row) if query.has_rules else per_row
    objective = query.objective if kind.is_ranked else None  # of the heads of the person's ranker
    return of_same_person(query, **{"n": n, "depth": found, "objective": objective, **plan.about})


def finish(pipeline: Pipeline, page: BegunPage) -> Page:
    """The second half. Never raises."""
    trace = page.trace
    try:
        scored = _scored(page, trace)
    except Exception:
        log.exception("the candidates of a page cannot be scored")
        trace.current = "rank"
        trace.fail()
        scored = merge([], ())
    found: list[tuple[RowKind, RowPlan, Answer]] = []
    answers: list[tuple[Answer, Surface]] = []
    for kind, plan, begun in page.begun:
        begun.query.explain = "none"  # which items are shown is not decided yet
        answer = pipeline.finish(_with_scores(kind, begun, scored))
        begun.query.explain = page.query.explain
        answers.append((answer, kind.surface))
        if len(answer.candidates):
            is_whole = page.query.has_rules or not len(answer.rest)
            whole = answer.candidates if is_whole else answer.candidates.then(answer.rest)
            found.append((kind, plan, replace(answer, candidates=whole, rest=NOTHING, has_more=False)))
        elif answer.degraded:
            page.failed.add(kind.name)
    values = _scaled(page.query.columns.n, scored)
    candidates = [
        Candidate(
            kind.name,
            answer.candidates.rows,
            np.clip(np.asarray(answer.scores), 0, 1) if kind.by_own_score else values.take(answer.candidates.rows),
            kind.least,
        )
        for kind, _, answer in found
    ]
    placed = arrange(candidates, page.rows, page.per_row, page.query.columns.n)
    rows = [_row(*found[at], positions, value, trace) for at, positions, value in placed]
    broken = set(trace.degraded).union(*(answer.degraded for answer, _ in answers))
    degraded = [step for step in STEPS if step in broken] + [f"row:{name}" for name in sorted(page.failed)]
    return Page(rows, degraded, answers)


def arrange(
    candidates: Sequence[Candidate], rows: int, per_row: int, n: int
) -> list[tuple[int, npt.NDArray[np.int64], float]]:
    """The rows of a page in order: place among `candidates`, positions of the items that the row shows, and its value.
    `n` is the number of rows of the columns. Of equal values the first candidate is chosen."""
    discounts = 1 / np.log2(np.arange(per_row) + 2)
    taken, of_kind = np.zeros(n, bool), Counter[str]()
    offers = [_offer(each, taken, per_row, discounts) for each in candidates]
    left = list(range(len(candidates)))
    placed: list[tuple[int, npt.NDArray[np.int64], float]] = []
    while left and len(placed) < rows:
        enough = [at for at in left if len(offers[at][0]) >= max(1, min(candidates[at].least, per_row))]
        if not (enough or placed):  # a page of one short row is better than none
            enough = [at for at in left if len(offers[at][0])]
        if not enough:
            break
        worth = [offers[at][1] * SAME ** of_kind[candidates[at].kind] for at in enough]
        best = enough[int(np.argmax(worth))]
        placed.append((best, offers[best][0], float(max(worth))))
        left.remove(best)
        of_kind[candidates[best].kind] += 1
        taken[candidates[best].rows[offers[best][0]]] = True
        for at in left:
            if taken.take(candidates[at].rows[offers[at][0]]).any():
                offers[at] = _offer(candidates[at], taken, per_row, discounts)
    return placed


def _offer(each: Candidate, taken: Mask, per_row: int, discounts: Values) -> tuple[npt.NDArray[np.int64], float]:
    """Positions of the first items that are not taken, and what they are worth together."""
    positions = np.flatnonzero(~taken.take(each.rows))[:per_row]
    return positions, float(each.values[positions] @ discounts[: len(positions)])


def _scored(page: BegunPage, trace: Trace) -> CandidateSet:
    """The candidates with the scores of the person's ranker, rows ascending: all of the rows that are ranked by it, and
    the first ones of each other row, whose order is made."""
    k = VALUED * page.per_row
    rows = [
        begun.candidates.rows if kind.is_ranked else begun.candidates.rows[:k] for kind, _, begun in page.begun
    ]  # fmt: skip
    everything = merge([np.unique(np.concatenate([NO_ROWS, *rows]))], ("page",))
    query = of_same_person(page.query)
    query.surface = FOR_YOU.surface.name
    ranked = steps.rank(FOR_YOU.surface, query, everything, trace)
    return ranked.take(np.argsort(ranked.rows))


def _with_scores(kind: RowKind, begun: Begun, scored: CandidateSet) -> Begun:
    """The answer of a row that the person's ranker ranks, with the scores that it has given."""
    if not kind.is_ranked or begun.broken:
        return begun
    ranker = Scored(found=scored, fallback=ByPopularity())
    return replace(begun, surface=replace(begun.surface, ranker=ranker))


def _scaled(n: int, scored: CandidateSet) -> Values:
    """What each of n rows of the columns is worth, 0 to 1; those without a score as much as the lowest."""
    values = np.zeros(n)
    if len(scored) and scored.scores is not None:
        scores = scored.scores.astype(np.float64)
        low, high = scores.min(), scores.max()
        values[scored.rows] = (scores - low) / (high - low) if high > low else 1.0
    return values


def _row(
    kind: RowKind, plan: RowPlan, answer: Answer, positions: npt.NDArray[np.int64], value: float, trace: Trace
) -> PageRow:
    query, shown = answer.query, answer.candidates.take(positions)
    reasons: Sequence[Reason | None]
    if kind.surface.explainer is not None:
        reasons = steps.explain(kind.surface, query, shown, trace)
    else:
        item_id = query.columns.ids[plan.anchor] if plan.anchor >= 0 else None
        reason = Reason(plan.title.code, plan.title.text, item_id) if query.explain != "none" else None
        reasons = [reason] * len(shown)
    return PageRow(kind, plan, replace(answer, candidates=shown, reasons=reasons), value)


def of_same_person(query: Query, **about: Any) -> Query:
    """The query with other values of some fields. What was computed of the person is not computed again."""
    found = replace(query, **about)
    for name in OF_PERSON:
        found.__dict__[name] = getattr(query, name)
    return found
