"""Candidates of a small catalogue, and an order of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recommend.candidate_set import CandidateSet
from recommend.query import Query
from recommend.stage import Reranker
from schemas.events import Item
from tests.serving.made import NOW, catalogue, pipeline


def candidates_of(
    items: Sequence[Item], scores: Sequence[float], vectors: Sequence[Sequence[float]], **query: Any
) -> tuple[Query, CandidateSet]:
    """The items as candidates, best first, in a query; vectors (n, 4)."""
    made = catalogue(items, {item.item_id: vector for item, vector in zip(items, vectors, strict=True) if any(vector)})
    found = pipeline(made)
    best = np.argsort(-np.array(scores), kind="stable")
    rows = np.array([found.columns.row_of[item.item_id] for item in items], np.int64)[best]
    candidates = CandidateSet(rows, np.ones(len(items), np.uint32), ("any",), np.array(scores, np.float32)[best])
    return found.query(at=NOW, **query), candidates


def ordered(reranker: Reranker, query: Query, candidates: CandidateSet) -> list[str]:
    """Item ids in the re-ranker's order."""
    order = reranker.order(query, candidates)
    return [query.columns.ids[row] for row in candidates.rows[order].tolist()]


def random_candidates(m: int, seed: int = 0, **query: Any) -> tuple[Query, CandidateSet]:
    """m items i0 … of random scores, vectors and categories out of a … e."""
    rng = np.random.default_rng(seed)
    items = [Item(f"i{k}", "", rng.choice(list("abcde"), rng.integers(0, 4), replace=False).tolist()) for k in range(m)]
    return candidates_of(items, rng.random(m).tolist(), rng.standard_normal((m, 4)).tolist(), **query)
