"""Reasons of items that a person's controls led to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feature_repo.columns import Rows
from recommend.explore import unfamiliar
from recommend.query import Query
from recommend.stage import Reason
from recommend.wording import reason


def as_asked(query: Query, rows: Rows) -> Sequence[Reason | None]:
    """A reason for each of `rows` (n,) that is of a category or brand which the person wants more of, of an interest
    that a control stated, or new to them while they ask for that; None for the others."""
    controls = query.controls
    if not (controls.steers or controls.explores):
        return [None] * len(rows)
    new = unfamiliar(query, rows) if controls.explores else np.zeros(len(rows), bool)
    return [
        _more(query, row) or (reason(query, "explore") if is_new else None)
        for row, is_new in zip(rows.tolist(), new, strict=True)
    ]


def _more(query: Query, row: int) -> Reason | None:
    item, controls = query.columns.items[row], query.controls
    if item is None:
        return None
    for name in controls.more_categories:
        if name in item.categories:
            return reason(query, "more_of", name=name)
    if item.brand and item.brand in controls.more_brands:
        return reason(query, "more_of", name=item.brand)
    for name in controls.interests:
        if name in item.categories:
            return reason(query, "interest", name=name)
    return None
