"""Reasons of items that a person's controls led to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feature_repo.columns import Rows
from recommend.explore import unfamiliar
from recommend.query import Query
from recommend.stage import Reason

NEW_TO_YOU = Reason("explore", "Something new, as you asked")


def as_asked(query: Query, rows: Rows) -> Sequence[Reason | None]:
    """A reason for each of `rows` (n,) that is of a category or brand which the person wants more of, of an interest
    that a control stated, or new to them while they ask for that; None for the others."""
    controls = query.controls
    if not (controls.steers or controls.explores):
        return [None] * len(rows)
    new = unfamiliar(query, rows) if controls.explores else np.zeros(len(rows), bool)
    return [
        _more(query, row) or (NEW_TO_YOU if is_new else None) for row, is_new in zip(rows.tolist(), new, strict=True)
    ]


def _more(query: Query, row: int) -> Reason | None:
    item, controls = query.columns.items[row], query.controls
    if item is None:
        return None
    for name in controls.more_categories:
        if name in item.categories:
            return Reason("more_of", f"More of {name}, as you asked")
    if item.brand in controls.more_brands:
        return Reason("more_of", f"More of {item.brand}, as you asked")
    for name in controls.interests:
        if name in item.categories:
            return Reason("interest", f"Because {name} is one of your interests")
    return None
