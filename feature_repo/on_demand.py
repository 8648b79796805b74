"""Crosses for any Feast client: an on-demand view that calls the same functions as training and the server.

A cross is included if Feast has everything that it reads: declared features of the person and of the item, the item's
catalogue entry, and values that the client sends. Crosses of item vectors (which are the bundle's) and of pairs with
each of an item's categories (Feast joins one row an entity) are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from feature_repo import registry
from feature_repo.candidates import Candidates, Request
from feature_repo.columns import ItemColumns
from feature_repo.crosses import Cross
from feature_repo.reads import Reads
from feature_repo.views import item as item_view
from schemas.events import Item

CATALOGUE = ("categories", "brand", "price", "created_at")
"""fields of item_activity that crosses read"""
AT, DEVICE, POSITION = "request_at", "request_device", "request_position"
ASKED = {"at": AT, "device": DEVICE, "position": POSITION}
"""what a cross asks of a request → what a client calls it"""


@cache
def crosses() -> tuple[Cross, ...]:
    """The declared crosses that Feast can compute."""
    return tuple(cross for cross in registry.declared().crosses if cross.on_demand)


def asked(of: Sequence[Cross]) -> list[str]:
    """Names of the request values that a client has to send for these crosses."""
    return [ASKED[name] for name in ASKED if any(name in cross.asks for cross in of)]


def compute(inputs: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    """Cross → one number a row. `inputs` is column → values as Feast hands them to an on-demand view: a feature is
    called view__field, and None where it has no value."""
    of, reads = crosses(), Reads.of(crosses())
    n = len(next(iter(inputs.values())))

    def column(name: str, default: Any) -> list[Any]:
        return [default if value is None else value for value in inputs.get(name, [default] * n)]

    users, items = column("user_id", ""), column("item_id", "")
    times, devices, positions = column(AT, 0), column(DEVICE, ""), np.array(column(POSITION, 0), float)
    out = {cross.name: np.zeros(n) for cross in of}
    requests: dict[tuple[str, int, str], list[int]] = {}
    for row, key in enumerate(zip(users, times, devices, strict=True)):
        requests.setdefault(key, []).append(row)
    for (_, at, device), rows in requests.items():
        columns = ItemColumns(len(rows), reads)
        for row in rows:
            columns.put_item(_item(items[row], inputs, row))
            columns.put_values(items[row], {v.field.name: inputs[_full(v.key)][row] for v in reads.item})
        user = {value.key: inputs[_full(value.key)][rows[0]] for value in reads.user}
        request = Request(user, columns, at, device=device)
        places = np.array([columns.row_of[items[row]] for row in rows])
        candidates = Candidates(request, places, positions[rows])
        for cross in of:
            out[cross.name][rows] = cross(candidates)
    return {name: values.tolist() for name, values in out.items()}


def _item(item_id: str, inputs: Mapping[str, Sequence[Any]], row: int) -> Item:
    known = {name: inputs.get(f"{item_view.name}__{name}", [None] * (row + 1))[row] for name in CATALOGUE}
    price = known["price"]
    return Item(
        item_id,
        categories=list(known["categories"] or ()),
        brand=known["brand"] or None,
        price=None if price is None or price < 0 else price,
        created_at=known["created_at"] or None,
    )


def _full(key: str) -> str:
    return key.replace(":", "__")
