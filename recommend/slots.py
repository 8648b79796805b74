"""Exploration slots: places of an answer that a bandit policy fills with items of which little is known.

    after the rules    a b c d e f        the best arms not shown: u v w x
    two slots          a u b c w d        slot 1 draws of u and w, slot 2 of v and x

The arms are dealt to the slots in turn, so that draws are independent: the propensity of an item at its place does not
depend on the other slots, and the product of all is the propensity of the list. All other places are what they would be
with any other draw: their propensity is 1. Runs after re-rankers and rules, on places that no rule has filled and no
re-ranker keeps, with items that no rule would move: nothing moves a drawn item any more.

The draw comes from the query's seed, which is derived from the request id, so that an answer can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from operators.bandit_counts import policy_name
from operators.hashes import hash64
from recommend.among import among
from recommend.candidate_set import CandidateSet, DrawnPlaces
from recommend.exploration import ArmCounts, Floats
from recommend.policies import KnownArms, SlotPolicy, Thompson
from recommend.query import Query
from recommend.rules.standing import standing
from recommend.slot_context import CONTEXT_ID, contexts
from recommend.stage import Reason, Reranker, Stage
from recommend.trace import Trace
from recommend.wording import reason

FEW = 20
"""events in seven days from which an item counts as known"""


class _Choice(NamedTuple):
    order: npt.NDArray[np.int64]
    """of the shown candidates with the drawn ones behind them"""
    arms: npt.NDArray[np.int64]
    """positions of the drawn ones among the ranked"""
    drawn: DrawnPlaces


def seed_of(request_id: str, is_logged: bool = True) -> int | None:
    """The seed of all draws for one request; None where its list is not logged: nothing would be learned from them."""
    return hash64(request_id) if is_logged else None


@dataclass(frozen=True, kw_only=True)
class ExplorationSlots(Stage):
    """A share of the places of a surface for its policy to fill. Nothing is explored by a request without a seed, whose
    answer is not logged, and none for `diversity=0`, which asks for relevance alone."""

    name: str = "exploration"
    policy: SlotPolicy = field(default_factory=Thompson)
    share: float = 0.05
    """of the places, rounded: one of 20"""
    pool: int = 10
    """arms of each slot: the best by rank that are not shown anyway"""
    few: float | None = FEW
    """only items with fewer events in seven days; None is any item"""

    def __post_init__(self) -> None:
        """Raises ValueError where a number is out of range."""
        if not 0 <= self.share <= 0.5 or self.pool < 1:
            raise ValueError(f"{self.name}: share is from 0 to 0.5, and pool at least 1")

    def applies(self, query: Query) -> bool:
        # A person who asks for something new has slots of their own (recommend/explore.py).
        return query.diversity != 0 and self._count(query.n) > 0 and not query.controls.explores

    def reserved(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        """As of a re-ranker: the arms of one slot. Whatever the seed: a list has the same items with and without."""
        return self._unsure(query, candidates, np.ones(len(candidates), bool))[: self.pool]

    def choose(
        self,
        surface: str,
        query: Query,
        shown: CandidateSet,
        ranked: CandidateSet,
        rerankers: Sequence[Reranker] = (),
    ) -> _Choice | None:
        """Draws the slots of an answer of the surface, which `rerankers` have arranged; `ranked` are all candidates,
        best first. None where there is no arm or no place."""
        assert query.seed is not None
        arms = self._unsure(query, ranked, ~among(ranked.rows, np.sort(shown.rows)))
        arms = arms[: self.pool * self._count(len(shown))]
        rules = standing(query, shown.rows, ranked.rows.take(arms))
        placed = rules.placed.copy()
        for reranker in rerankers:
            if reranker.applies(query):
                placed[reranker.kept(query, shown)] = True
        arms, places = arms[rules.free], np.flatnonzero(~placed)
        count = min(self._count(len(shown)), len(arms), len(places), *([1] if rules.one else []))
        if not count:
            return None
        policy, rows = self.policy, ranked.rows.take(arms)
        counts = query.columns.arms.counts(rows.tolist(), query.at)
        of_arms = contexts(query, rows) if policy.reads_context else None
        model = None
        if of_arms is not None:
            model = query.columns.arms.model(policy_name(surface, CONTEXT_ID, of_arms.shape[1]), query.at)
        generator = np.random.default_rng(query.seed)
        drawn, chances = np.zeros(count, np.int64), np.zeros(count)
        for slot in range(count):
            own = np.arange(slot, len(arms), count)
            of_slot: Floats | None = None if of_arms is None else of_arms[own].astype(float)
            p = policy.chances(KnownArms(ArmCounts(counts.shown[own], counts.taken[own]), of_slot, model))
            chosen = generator.choice(len(own), p=p)
            drawn[slot], chances[slot] = own[chosen], p[chosen]
        # Those that are shown anyway keep their order over the places that are left, and the last ones make room.
        n, m = len(shown), len(places)
        slots = ((np.arange(count) + 0.5) * m / count).astype(np.int64)
        order = np.arange(n)
        order[np.delete(places, slots)] = places[: m - count]
        order[places[slots]] = n + np.arange(count)
        picked = None if of_arms is None else of_arms[drawn]
        return _Choice(order, arms[drawn], DrawnPlaces(places[slots].tolist(), chances.tolist(), picked))

    def _count(self, n: int) -> int:
        return int(self.share * n + 0.5)

    def _unsure(self, query: Query, candidates: CandidateSet, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Positions of those of the `allowed` candidates (n,) of which little is known."""
        if self.few is not None:
            allowed = allowed & (query.columns.events_7d.take(candidates.rows) < self.few)
        return np.flatnonzero(allowed)


def explored(
    slots: ExplorationSlots | None,
    surface: str,
    query: Query,
    shown: CandidateSet,
    ranked: CandidateSet,
    trace: Trace,
    rerankers: Sequence[Reranker] = (),
) -> CandidateSet:
    """The candidates that are shown, which `rerankers` have arranged, with the slots filled; as they were where that
    fails. `query.drawn` says what was drawn."""
    if slots is None or query.seed is None:
        return shown

    def work() -> _Choice | None:
        return slots.choose(surface, query, shown, ranked, rerankers)

    choice, record = trace.run("rerank", slots, query, work, len(ranked))
    if record is None:
        return shown
    record.candidates_out = len(shown)
    if choice is None:
        if record.failed is not None:
            record.fell_back = "no place is explored"
        return shown
    found = shown.then(ranked.take(choice.arms)).take(choice.order)
    query.drawn = choice.drawn
    record.moved = int(np.count_nonzero(found.rows != shown.rows))
    ids, places = query.columns.ids, zip(choice.drawn.positions, choice.drawn.propensities, strict=True)
    record.explored = {ids[int(found.rows[position])]: round(p, 6) for position, p in places}
    return found


def logged(query: Query, n: int) -> dict[str, Any]:
    """Fields of the impression of an answer with n items that say what was drawn and how probable it was; none where
    nothing was left to chance, so that such an impression costs no more."""
    drawn = query.drawn
    if drawn is None:
        return {}
    propensities = [1.0] * n
    for position, propensity in zip(drawn.positions, drawn.propensities, strict=True):
        propensities[position] = propensity
    found: dict[str, Any] = {"propensities": propensities, "explored": drawn.positions}
    if drawn.contexts is not None:
        found |= {"contexts": drawn.contexts.astype("<f4").tobytes(), "context_id": CONTEXT_ID}
    return found


def with_reasons(query: Query, reasons: Sequence[Reason | None]) -> Sequence[Reason | None]:
    """The reasons of an answer, where those of the items in slots are that they were explored."""
    drawn = query.drawn
    if drawn is None or query.explain == "none":
        return reasons
    found, of_slot = list(reasons), reason(query, "exploration")
    for position in drawn.positions:
        found[position] = of_slot
    return found
