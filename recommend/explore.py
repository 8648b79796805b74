"""Explore something new: slots for items outside of what a person knows, for as long as they asked for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Mask, Rows
from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.stage import Reranker

EVERY = 3
"""every third slot, from the third on, is for an item of unknown categories"""
KNOWN = 0.05
"""least share of a person's attention at which a category is one that they know"""


@dataclass(frozen=True, kw_only=True)
class Exploring(Reranker):
    """Runs after the re-rankers of every surface. Keeps the order among known items, and among unknown ones."""

    name: str = "explore"

    def applies(self, query: Query) -> bool:
        return query.controls.explores

    def order(self, query: Query, candidates: CandidateSet) -> npt.NDArray[np.int64]:
        unknown = unfamiliar(query, candidates.rows)
        new, rest = np.flatnonzero(unknown).tolist(), np.flatnonzero(~unknown).tolist()
        chosen: list[int] = []
        for slot in range(min(query.n, len(candidates))):
            turn, other = (new, rest) if slot % EVERY == EVERY - 1 else (rest, new)
            chosen.append((turn or other).pop(0))
        return np.array(chosen, np.int64)


EXPLORING = Exploring()


def unfamiliar(query: Query, rows: Rows) -> Mask:
    """Which items of `rows` (n,) have categories, all of them such as the person does not know."""
    columns = query.columns
    codes = columns.categories.take(rows, axis=0)
    return codes.any(axis=1) & ~np.isin(codes, known_codes(query)).any(axis=1)


def known_codes(query: Query) -> list[int]:
    """Codes of the categories that have a share of the person's attention, or are their stated interests."""
    codes = query.columns.category_codes
    known = {name.casefold() for name in query.user["interests"]}
    known |= {name for name, share in query.liked.items() if share >= KNOWN}
    return [code for name, code in list(codes.items()) if name.casefold() in known]
