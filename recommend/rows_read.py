"""Which rows of the columns the stages of an answer read: a record of it has what the columns have of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from feature_repo.columns import Rows
from feature_repo.partners import Pairs
from recommend.query import Query
from recommend.recorded import Found


def rows_read(found: Sequence[Found], partners: Mapping[int, Pairs]) -> Rows:
    """The rows (n,), ascending, that the stages of an answer read, which has one or several lists for one person: those
    that were found (of a fallback's, which may be the whole catalogue, those among the candidates alone), and those
    that the query, the person's row, rules and `partners` name."""
    first = found[0].query
    columns, controls = first.columns, first.controls
    names = [*first.user["recent_items"], *controls.targets(*(each.kind for each in controls.found))]
    rows: list[Rows] = []
    single: list[int] = []
    for each in found:
        query = each.query
        rows += each.kept, query.given, query.cart, query.excluded[:1]
        retrieved = [run for run in each.runs if run.step == "retrieve"]
        rows += [run.result for run in retrieved if run.result is not None]
        if query.has_rules:
            names += query.ruling.plan.pins
        if query.listed is not None:
            rows.append(query.listed.rows)
        if query.item >= 0:
            single.append(query.item)
        if any(run.failed is not None for run in retrieved):
            rows.append(np.flatnonzero(query.allowed)[-1:])  # what takes the place of a fallback ends with it
    rows += columns.rows(names), np.array(single, np.int64)
    rows += [each.partners for each in partners.values()]
    return np.unique(np.concatenate(rows)).astype(np.int64)


def partners(found: Sequence[Found]) -> dict[int, Pairs]:
    """The partners in baskets that the stages read, by row."""
    of = found[0].query.columns.partners
    rows = dict.fromkeys(row for each in found for row in bought_with(each.query))
    return {row: of.of([row]) for row in rows}


def bought_with(query: Query) -> list[int]:
    """Rows of the items whose partners in baskets the stages read."""
    return list(dict.fromkeys([*query.cart.tolist(), *([query.item] if query.item >= 0 else [])]))
