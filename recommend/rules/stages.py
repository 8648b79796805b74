"""The stages of rules, and where they stand among those of a surface: on every surface, whatever it lists.

Their candidates are added in `retrieve`, what they remove goes in `filter`, before the surface's own filters, and they
have the last word in `rerank`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from feature_repo.columns import Rows
from recommend.among import among
from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.rules.additions import Ruled, pinned
from recommend.rules.arrangement import Arranged
from recommend.rules.removal import Allowed
from recommend.stage import Filter, StageError
from recommend.trace import Trace

ADDED, ALLOWED, ARRANGED = Ruled(), Allowed(), Arranged()


def with_pinned(filters: Iterable[Filter], query: Query, candidates: CandidateSet, trace: Trace) -> CandidateSet:
    """The candidates and, before them, pinned items that are not among them. Those meet the filters that are never
    relaxed."""

    def work() -> Rows:
        rows = pinned(query)
        rows = rows[~among(rows, np.sort(candidates.rows))]
        for each in filters:
            if len(rows) and not each.relaxable and each.applies(query):
                rows = rows[each.keep(query, rows)]
        return rows

    rows, record = trace.run("filter", ADDED, query, work)
    if record:
        trace.stages.remove(record)
        trace.include([record])  # where it failed: else the stage that places them says what came of them
    if rows is None or not len(rows):
        return candidates
    bit = np.uint32(1 << candidates.names.index(ADDED.name))
    return CandidateSet(
        np.concatenate([rows, candidates.rows]),
        np.concatenate([np.full(len(rows), bit), candidates.sources]),
        candidates.names,
    )


def arranged(query: Query, candidates: CandidateSet, ranked: CandidateSet, trace: Trace) -> CandidateSet:
    """The candidates in the order of the rules, and those alone that the rules leave; as they were where that fails.
    Those of `ranked` that the re-rankers left out come behind the candidates: rules may need them."""
    if not ARRANGED.applies(query):
        return candidates
    everything, at = candidates, np.arange(len(candidates))
    if len(candidates) < len(ranked):
        sorter = np.argsort(ranked.rows)
        first = sorter.take(np.searchsorted(ranked.rows, candidates.rows, sorter=sorter))
        others = np.ones(len(ranked), bool)
        others[first] = False
        everything, at = ranked, np.concatenate([first, np.flatnonzero(others)])
    n = len(at)
    # Rules read rows alone; scores and features are copied of those alone that are shown.
    plain = CandidateSet(everything.rows.take(at), everything.sources.take(at), everything.names)

    def work() -> Rows:
        order = ARRANGED.order(query, plain)
        if len(order) and (order.min() < 0 or order.max() >= n or np.bincount(order).max() > 1):
            raise StageError("the order is not one of the candidates, each once")
        return order

    order, record = trace.run("rerank", ARRANGED, query, work, n)
    if record is None:
        return candidates
    if order is None:
        record.fell_back = "the order as it was"
        query.ruling.marks.clear()
        return candidates
    record.candidates_out = shown = min(query.n, len(order))
    record.moved = int(np.count_nonzero(order[:shown] != np.arange(shown)))
    return everything.take(at.take(order[:shown]))


def show_effects(query: Query, trace: Trace) -> None:
    """Puts what rules did into the record of the last of their stages."""
    if query.rules.rules and query.ruling.effects:
        for record in reversed(trace.stages):
            if record.stage == ALLOWED.name and record.step != "retrieve":
                record.rules = query.ruling.effects
                return
