"""Which of a person's events moved an item: the shown items are scored again without each of them, in one batch.

    delta(event, item) = score(item; person) - score(item; person without the event)

The score is that of the surface's ranker under its objective, before the price level and the person's controls, which
depend on the other candidates. The person without an event is their row as operators/leave_out.py has it; which items
are candidates is not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from feature_repo import views
from operators.history import CurrentSession
from operators.leave_out import RECENTS, LeaveOut, kept_by
from operators.space import EmptySpace
from recommend.candidate_set import CandidateSet
from recommend.objective import weighed, weights_of
from recommend.query import Query
from recommend.stage import Stage, StageError
from recommend.surface import Surface
from recommend.trace import Trace
from schemas.errors import StateError
from schemas.events import Item

LATEST = 20
"""events that are left out, one at a time, the latest of the person's"""
MOST = 5
"""events that are named for an item: those of the largest effect"""
LEAST = 1e-5
"""effect, either way, below which an event is not named"""
KEPT = kept_by(views.user)
GAP = next(a.gap for a in views.user.aggregations if isinstance(a, CurrentSession))
OLDER, DECLARED = "older_events", "declared_features"


class EventEffect(Struct, frozen=True):
    """One of the person's events, and by how much the item's score is higher (lower, below 0) than without it."""

    item_id: str
    event_type: str
    age_s: int
    delta: float


class LeftOut(Struct, frozen=True):
    """How many of the person's latest events were left out, one at a time, and of what the effect is not exact:
    `older_events`, where the person has more events than a row keeps, of which one would take the place of the one that
    is left out; `declared_features`, where the ranker reads features of the person that a team declares, which stay as
    they are."""

    events: int
    inexact: list[str]


@dataclass(frozen=True)
class Moved:
    """Events by item, in the order of the answer, and what was left out."""

    effects: Sequence[list[EventEffect]]
    left_out: LeftOut


@dataclass(frozen=True, kw_only=True)
class ByEvents(Stage):
    """Applies with explain=events, to a person who has events and an answer that has items."""

    name: str = "events"
    budget_ms: float = 20.0

    def applies(self, query: Query) -> bool:
        return query.explain == "events"

    def moved(self, surface: Surface, query: Query, candidates: CandidateSet) -> Moved:
        """Raises StageError where the person's row cannot be taken apart, or the ranker cannot score."""
        changes, rows = self._changes(query), candidates.rows
        inexact = [OLDER] if len(query.user["recent_items"]) >= KEPT else []
        if query.parts.ranker is not None and query.parts.ranker.reads_declared:
            inexact.append(DECLARED)
        if not changes or not len(rows) or not surface.ranker.applies(query):  # then no event of theirs counts
            return Moved([[] for _ in rows], LeftOut(len(changes), inexact))
        queries = [query, *(_of_person(query, each) for each in changes)]
        objective, _ = weights_of(surface, query)
        scores = np.stack(
            [
                weighed(each, each.weights if objective is None else objective)
                for each in surface.ranker.score_each(queries, rows)
            ]
        ).astype(np.float64)
        if not np.isfinite(scores).all():
            raise StageError("the scores are not finite")
        return Moved(_named(query, scores[0] - scores[1:]), LeftOut(len(changes), inexact))

    def _changes(self, query: Query) -> list[dict[str, Any]]:
        """The fields that change without each of the latest events, the latest first."""
        user = query.user
        if not len(user["recent_items"]):
            return []

        def item(item_id: str) -> Item | None:
            row = query.columns.row_of.get(item_id)
            return None if row is None else query.columns.items[row]

        # The row is as of its reading, when the session was not over; `at` may be any other time.
        last = int(user["last_event_at"])
        at = min(max(query.at, last), last + GAP)
        try:
            found = LeaveOut(views.user, user, query.parts.space or EmptySpace(), item, at)
        except StateError as error:
            raise StageError(f"events cannot be left out: {error}") from None
        return [found.without(place) for place in range(min(len(found), LATEST))]


BY_EVENTS = ByEvents()


def moved_by(surface: Surface, query: Query, candidates: CandidateSet, trace: Trace) -> Moved | None:
    """What moved each of the shown items; None where that is not asked for, or fails."""
    found, record = trace.run(
        "explain", BY_EVENTS, query, lambda: BY_EVENTS.moved(surface, query, candidates), len(candidates)
    )
    if record:
        record.candidates_out = len(candidates)
        if found is None:
            record.fell_back = "no events are named"
    return found


def _of_person(query: Query, changes: dict[str, Any]) -> Query:
    found = replace(query, user={**query.user, **changes})
    found.__dict__["controls"] = query.controls
    return found


def _named(query: Query, deltas: npt.NDArray[np.float64]) -> list[list[EventEffect]]:
    """For each item the events of the largest effect, of deltas (events, items)."""
    times, items, kinds, _ = (query.user[name] for name in RECENTS)
    found = []
    for of_item in deltas.T:
        order = np.argsort(-np.abs(of_item), kind="stable")[:MOST]
        found.append(
            [
                EventEffect(
                    items[k], kinds[k], max(0, query.at - int(times[k])) // 1000, round(float(of_item[k]), 5)
                )
                for k in order.tolist()
                if abs(of_item[k]) >= LEAST
            ]
        )  # fmt: skip
    return found
