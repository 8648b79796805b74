"""Reasons of items that other people liked: how many they are, and never who."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from recommend.candidate_set import CandidateSet
from recommend.explain import Reasons
from recommend.explain_controls import as_asked
from recommend.favourites import FRIENDS, NO_FAVOURITES
from recommend.query import Query
from recommend.stage import Explainer, Reason
from recommend.wording import reason


@dataclass(frozen=True, kw_only=True)
class FavourReasons(Explainer):
    """Since a control asked for it; liked by so many of the people `whose`; else the reasons of `otherwise`."""

    name: str = "favour_reasons"
    whose: str
    otherwise: Reasons = field(default_factory=Reasons)

    def explain(self, query: Query, candidates: CandidateSet) -> Sequence[Reason | None]:
        found = query.others.get(self.whose, NO_FAVOURITES)
        counts = dict(zip(found.rows.tolist(), found.counts.tolist(), strict=True))
        rows = candidates.rows.tolist()
        others = self.otherwise.explain(query, candidates) if len(counts.keys() & set(rows)) < len(rows) else None
        asked = as_asked(query, candidates.rows)
        return [
            asked[at]
            or (_liked(query, self.whose, counts[row]) if row in counts else None)
            or (others[at] if others else None)
            for at, row in enumerate(rows)
        ]


def _liked(query: Query, whose: str, n: int) -> Reason:
    if whose != FRIENDS:
        return reason(query, "liked_by_people_like_you")
    if n == 1:
        return reason(query, "liked_by_friends", variant="one")
    return reason(query, "liked_by_friends", variant="many", n=str(n))
