"""What a linear policy has of each arm: a few numbers of the person and the item, from 0 to 1 but for the cosine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rerankers.recency import recency

CONTEXT_ID = "basic1"
"""changes with the columns: a model of other columns is another model"""
COLUMNS = ("constant", "cosine", "liked", "popularity", "recency")
OCTAVES = 10.0
"""halvings of the popularity of the most popular item until an item's counts as 0"""


def contexts(query: Query, rows: Rows) -> npt.NDArray[np.float32]:
    """The contexts (n, columns) of the items at `rows` (n,), as they are logged and used: a constant; the cosine of the
    item and the person; the share of the person's attention that the item's categories have; popularity; recency."""
    columns, found = query.columns, np.zeros((len(rows), len(COLUMNS)), np.float32)
    found[:, 0] = 1
    vector = query.encoded if query.encoded is not None else np.asarray(query.user["vector"], np.float32)
    vectors = query.vectors(rows)
    if len(vector) and len(vector) == vectors.shape[1]:
        found[:, 1] = np.nan_to_num(vectors @ vector).clip(-1, 1)
    liked, items = query.liked, columns.items
    for place, row in enumerate(rows.tolist()):
        item = items[row]
        if item is not None and liked:
            found[place, 2] = min(sum(max(liked.get(name.casefold(), 0.0), 0.0) for name in item.categories), 1.0)
    below = (columns.most_popular() - columns.popularity.take(rows)) / OCTAVES
    found[:, 3] = (1 - below).clip(0, 1)
    found[:, 4] = recency(columns.created_at.take(rows), query.at)
    return found
