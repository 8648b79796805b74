"""A request as the ranker's inputs read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feature_repo.candidates import Pairs, Request, no_pairs
from feature_repo.columns import ItemColumns
from feature_repo.item_vectors import ItemVectors
from operators.space import Content


def ranking_of(
    user: Mapping[str, Any],
    columns: ItemColumns,
    vectors: ItemVectors,
    content: Content | None,
    at: int,
    region: str = "",
    device: str = "",
    text: str = "",
    pairs: Pairs = no_pairs,
) -> Request:
    """The request as the ranker's inputs read it; a new person's vector comes from stated interests. `vectors` and
    `content` are those of one space; other arguments as the fields of `Query` (recommend/query.py)."""
    if content and len(user["vector"]) == 0 and len(user["interests"]) > 0:
        vector = content.bag([f"category:{name.casefold()}" for name in user["interests"]])
        if vector is not None:
            user = {**user, "vector": vector, "vector_space": vectors.id}
    searched = content.text(text) if content and text else None
    return Request(user, columns, at, region, vectors, device, searched, pairs)
