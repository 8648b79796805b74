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
        return self._slots(query.n) > 0

    def _slots(self, n: int) -> int:
        return int(self.share * n + 0.5)

    def order(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        n, columns = min(query.n, len(candidates)), query.columns
        found = np.flatnonzero(candidates.found_by(self.source))
        events = columns.events_7d.take(candidates.rows[found])
        found, events = found[events < FEW], events[events < FEW]
        waiting = found >= n
        slots = max(0, self._slots(n) - int(np.count_nonzero(~waiting)))
        found, events = found[waiting], events[waiting]
        chosen = found[np.lexsort((-columns.created_at.take(candidates.rows[found]), events))[:slots]]
        order = list(range(n - len(chosen)))
        for slot, position in enumerate(chosen.tolist()):
            order.insert(int((slot + 0.5) / self.share), position)
        return np.array(order, np.int64)
