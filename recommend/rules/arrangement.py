"""The order of an answer under the rules: items move up or down, positions are reserved, the others are filled.

1. `promote` and `bury` move candidates by so many places, or to an end.
2. `pin` and `sponsor` reserve positions, the rule of the highest priority first.
3. The other positions take the first candidate that every cap allows, or where a share is not met its first one.

Every position is filled while a candidate is allowed there; a cap is exceeded by nothing, pins included.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.among import among
from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.rules.additions import NAME as ADDED
from recommend.rules.caps import CapCount, counters
from recommend.rules.matches import RowBits
from recommend.rules.plan import PlacedRule
from recommend.rules.ruling import SponsoredMark
from recommend.stage import Reranker
from schemas.rules import Bury, Pin, Promote, Sponsor

EXACT = 1e-9
"""what a share times a number may be off by"""


@dataclass(frozen=True, kw_only=True)
class Arranged(Reranker):
    """After a surface's own re-rankers. Its order is the whole answer: what it leaves out is not shown."""

    name: str = "rules"

    def applies(self, query: Query) -> bool:
        return bool(query.rules.rules) and query.ruling.plan.arranges

    def reserved(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        return np.flatnonzero(candidates.found_by(ADDED))

    def order(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        plan, rows = query.ruling.plan, candidates.rows
        bits = query.ruling.bits(rows)
        order = _moved(query, rows, bits)
        if not (plan.slots or plan.shares or plan.caps):
            return order
        # From here on, a candidate is its place in that order: a smaller one is a better one.
        return order.take(_Arrangement(query, rows.take(order), bits.take(order)).filled())


def _moved(query: Query, rows: Rows, bits: RowBits) -> Rows:
    """Positions (n,) of candidates after those that rules promote or bury have moved. A rule that moves to an end wins
    over one that moves by places, and of several of them the one of the highest priority."""
    ruling, plan, positions = query.ruling, query.ruling.plan, np.arange(len(rows))
    if not plan.moves:
        return positions
    net = plan.net_places(bits)
    for each in plan.single:
        about = ruling.guarded(each, ruling.about, each, rows, bits)
        if about is not None:
            rule = each.rule
            assert isinstance(rule, (Promote, Bury))
            net[about] += (rule.places or 0) * (1 if isinstance(rule, Promote) else -1)
    ends = plan.end_numbers(bits)
    for number, each in plan.ends_of_request:
        found = ruling.positions(each, rows, bits)
        ends[found] = np.maximum(ends[found], number)
    net = np.where(ends > 0, plan.to_end(ends), net)
    if not net.any():
        return positions
    order = np.argsort(positions - net - 0.5 * np.sign(net), kind="stable")
    if query.explains_all:
        _note_moves(query, rows, bits, order)
    return order


def _note_moves(query: Query, rows: Rows, bits: RowBits, order: Rows) -> None:
    ruling, ids, n = query.ruling, query.columns.ids, len(order)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    shown = np.minimum(place, np.arange(n)) < query.n  # those that the answer has, or had before
    for each in ruling.plan.moves:
        about = ruling.guarded(each, ruling.about, each, rows, bits)
        if about is not None and (about & shown).any():
            touched = [ids[row] for row in rows[about & shown].tolist()]
            ruling.note(each, "promoted" if isinstance(each.rule, Promote) else "buried", touched)


class _Arrangement:
    """The filling of the positions of one answer by the candidates at `rows`, best first."""

    def __init__(self, query: Query, rows: Rows, bits: RowBits) -> None:
        self._query, self._ruling, self._rows, self._bits = query, query.ruling, rows, bits
        self._n = min(query.n, len(rows))
        self._caps, self._listed = counters(query, rows, bits), bits.listed(query.ruling.plan.placing)
        self._reserved: dict[int, int] = {}
        """position → candidate"""
        self._placed: set[int] = set()
        self._dropped: set[int] = set()
        """candidates that a cap keeps out of the whole answer"""
        self._waiting: dict[int, list[int]] = {}
        """position → candidates that a cap keeps out before it"""
        self._first, self._back = 0, list[int]()
        """the first candidate that was not looked at yet, and those before it that a cap allows again, as a heap"""
        self._full = query.explains_all

    def filled(self) -> Rows:
        """The candidates of the answer in order."""
        self._reserve()
        shares = [
            (each, members, set(members))
            for each in self._ruling.plan.shares
            if isinstance(each.rule, Promote)
            and (each.rule.share or 0) * self._n >= 1 - EXACT
            and (members := self._about(each))
        ]
        counts = [0] * len(shares)
        found: list[int] = []
        position, late = 0, sorted(self._reserved.items())
        while len(found) < self._n:
            for back in self._waiting.pop(position, ()):
                heapq.heappush(self._back, back)
            chosen = self._reserved.get(position)
            if chosen is None:
                chosen = self._of_share(shares, counts, position)
            if chosen is None:
                chosen = self._next(position)
            if chosen is None:
                break
            if position not in self._reserved:
                self._place(chosen, position)
            for number, (_, _, known) in enumerate(shares):
                counts[number] += chosen in known
            found.append(chosen)
            position += 1
        # Too few candidates are allowed: reserved positions beyond the end move up.
        for reserved, candidate in late:
            if reserved >= position and len(found) < self._n and self._allowed(candidate, len(found), reserved):
                found.append(candidate)
        return np.array(found, np.int64)

    def _about(self, each: PlacedRule) -> list[int]:
        if each.test is not None:
            found = self._listed.get(each.test)
            return [] if found is None else found.tolist()
        return self._ruling.positions(each, self._rows, self._bits).tolist()

    # -- reserved positions ----------------------------------------------------------------------------

    def _reserve(self) -> None:
        row_of, pins = self._query.columns.row_of, self._query.columns.rows(self._ruling.plan.pins)
        places = np.flatnonzero(among(self._rows, np.sort(pins)))
        place_of = dict(zip(self._rows[places].tolist(), places.tolist(), strict=True))
        for each in self._ruling.plan.slots:
            rule = each.rule
            if isinstance(rule, Pin):
                place = place_of.get(row_of.get(rule.item_id, -1))
                if place is not None:
                    self._take(each, rule.position, [place])
                continue
            assert isinstance(rule, Sponsor)
            if all(position >= self._n or position in self._reserved for position in rule.positions):
                continue
            candidates = self._about(each)
            for position in sorted(rule.positions) if candidates else ():
                taken = self._take(each, position, candidates)
                if taken is not None:
                    self._ruling.marks[int(self._rows[taken])] = SponsoredMark(each.name, rule.label)

    def _take(self, each: PlacedRule, position: int, candidates: list[int]) -> int | None:
        """Reserves a position that is free for the first of the candidates that may stand there."""
        if position >= self._n or position in self._reserved:
            return None
        for candidate in candidates:
            if candidate not in self._placed and self._against(candidate, position) is None:
                self._reserved[position] = candidate
                self._place(candidate, position)
                self._note(each, "pinned" if isinstance(each.rule, Pin) else "sponsored", candidate)
                return candidate
        return None

    # -- the others ------------------------------------------------------------------------------------

    def _of_share(
        self, shares: list[tuple[PlacedRule, list[int], set[int]]], counts: list[int], position: int
    ) -> int | None:
        """The first candidate of the first share that is not met at this position."""
        for number, (each, members, _) in enumerate(shares):
            rule = each.rule
            assert isinstance(rule, Promote)
            assert rule.share
            if counts[number] >= math.floor(rule.share * (position + 1) + EXACT):
                continue
            for candidate in members:
                if candidate in self._placed or candidate in self._dropped:
                    continue
                if self._against(candidate, position) is None:
                    self._note(each, "promoted", candidate)
                    return candidate
        return None

    def _next(self, position: int) -> int | None:
        """The best candidate that may stand at the position; those that may not wait, or are dropped for good."""
        while True:
            if self._back:
                candidate = heapq.heappop(self._back)
            elif self._first < len(self._rows):
                candidate, self._first = self._first, self._first + 1
            else:
                return None
            if candidate in self._placed:
                continue
            against = self._against(candidate, position)
            if against is None:
                return candidate
            self._note(against.rule, "kept out by a cap", candidate)
            if against.within < self._query.n:
                self._waiting.setdefault(against.within, []).append(candidate)
            else:
                self._dropped.add(candidate)

    def _against(self, candidate: int, position: int) -> CapCount | None:
        """A cap that does not allow the candidate at the position, None where all do."""
        for cap in self._caps:
            if cap.tight and not cap.allows(candidate, position):
                return cap
        return None

    def _place(self, candidate: int, position: int) -> None:
        self._placed.add(candidate)
        for cap in self._caps:
            cap.add(candidate, position)

    def _allowed(self, candidate: int, position: int, counted: int) -> bool:
        """Whether a candidate that counts at one position may stand at an earlier one."""
        narrow: list[CapCount] = [cap for cap in self._caps if position < cap.within <= counted]
        if not all(cap.allows(candidate, position) for cap in narrow):
            return False
        for cap in narrow:
            cap.add(candidate, position)
        return True

    def _note(self, each: PlacedRule, effect: str, candidate: int) -> None:
        if self._full:
            self._ruling.note(each, effect, [self._query.columns.ids[int(self._rows[candidate])]])
