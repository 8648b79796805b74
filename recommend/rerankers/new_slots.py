"""Places in a list for new items, which have no events yet that would rank them high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.stage import Reranker

SHARE = 0.05
FEW = 20
"""events in seven days from which an item has to rank by itself"""


@dataclass(frozen=True, kw_only=True)
class NewSlots(Reranker):
    """Gives `share` of the list to candidates of the retriever `source` that have fewer than FEW events in seven days:
    those with the fewest first, of these the newest. They stand in the middle of each stretch of 1 / share items, in
    place of the last items of the list; those that are in the list by their score count."""

    name: str = "new_slots"
    share: float = SHARE
    source: str = "new"

    def applies(self, query: Query) -> bool:
        return self._slots(query.n) > 0 and query.diversity != 0  # which is relevance alone

    def reserved(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        return self._waiting(query, candidates)[: self._slots(query.length)]

    def kept(self, query: Query, shown: CandidateSet) -> npt.NDArray[np.int64]:
        return self._waiting(query, shown)[: self._slots(len(shown))]

    def order(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        n = min(query.n, len(candidates))
        new = self._waiting(query, candidates)
        inside, below = new[new < n], new[new >= n]
        chosen = below[: max(0, self._slots(n) - len(inside))]
        if not len(chosen):
            return np.arange(n)
        kept, order = set(inside.tolist()), list(range(n))
        last = [position for position in reversed(order) if position not in kept][: len(chosen)]
        for position in last:
            order.remove(position)
        for slot, position in enumerate(chosen[: len(last)].tolist()):
            order.insert(int((slot + 0.5) / self.share), position)
        return np.array(order, np.int64)

    def _slots(self, n: int) -> int:
        return int(self.share * n + 0.5)

    def _waiting(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        """Positions of new items with few events: those with the fewest first, of these the newest."""
        found = np.flatnonzero(candidates.found_by(self.source))
        rows = candidates.rows.take(found)
        events, created_at = query.columns.events_7d.take(rows), query.columns.created_at.take(rows)
        order = np.lexsort((-created_at, events))
        return found[order[events[order] < FEW]]
