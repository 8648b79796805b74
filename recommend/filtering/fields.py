"""The fields that a filter may read, and how each is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

import numpy as np

from feature_repo.attribute_columns import AttributeColumns, Type
from feature_repo.columns import ItemColumns
from recommend.filtering.errors import FilterError
from recommend.filtering.values import Asker, Evaluation, Kind, Lists, Spelled, Strings, Value, of_request

Run: TypeAlias = Callable[[Evaluation], Value]
ATTRIBUTES = "attributes"
SHOWN = 20
"""names that an error lists at most"""


@dataclass(frozen=True, slots=True)
class FieldRead:
    """A field of an item, a person or a request."""

    path: str
    runs: Mapping[Kind, Run]
    """how it is read as each of the types that it may have"""
    of_rows: bool = False
    """whether it differs by row"""
    by_row: bool = False
    """whether its strings are looked at one by one"""
    given: Callable[[Asker], object] | None = None
    """its value, where it is the request's"""


class _RowIds:
    """Item ids as names: the code of row r is r + 1."""

    def __init__(self, columns: ItemColumns, n: int) -> None:
        self._columns, self._n = columns, n

    @property
    def names(self) -> Sequence[str | None]:
        return [None, *self._columns.ids[: self._n]]

    def get(self, name: str, /) -> int | None:
        row = self._columns.row_of.get(name)
        return None if row is None else row + 1


def _ids(scope: Evaluation) -> Value:
    codes = np.arange(1, scope.n + 1) if scope.rows is None else scope.rows + 1
    return Strings(codes, _RowIds(scope.columns, scope.columns.n))


def _titles(scope: Evaluation) -> Value:
    items = scope.columns.items
    here = items[: scope.n] if scope.rows is None else [items[row] for row in scope.rows.tolist()]
    names = [None, *(item.title or None if item else None for item in here)]
    codes = np.arange(1, len(names))
    codes[np.array([name is None for name in names[1:]], bool)] = 0
    return Strings(codes, Spelled(names))


def _column(name: str) -> Run:
    def run(scope: Evaluation) -> Value:
        values = getattr(scope.columns, name)
        return values[: scope.n] if scope.rows is None else values.take(scope.rows)

    return run


def _brands(scope: Evaluation) -> Value:
    return Strings(_column("brand")(scope), scope.columns.brand_codes)


def _of_item(name: str, kind: Kind, run: Run, by_row: bool = False) -> FieldRead:
    return FieldRead(f"item.{name}", {kind: run}, of_rows=True, by_row=by_row)


ITEM = {
    "item_id": _of_item("item_id", Kind.STRING, _ids, by_row=True),
    "title": _of_item("title", Kind.STRING, _titles, by_row=True),
    "categories": _of_item("categories", Kind.STRINGS, lambda s: Lists(s.columns.filterable.categories, s)),
    "brand": _of_item("brand", Kind.STRING, _brands),
    "price": _of_item("price", Kind.NUMBER, _column("price")),
    "created_at": _of_item("created_at", Kind.TIME, _column("created_at")),
    "available": _of_item("available", Kind.BOOLEAN, _column("available")),
}


def _of_type(name: str, type: Type) -> tuple[Kind, Run]:
    if type == "list":
        return Kind.STRINGS, lambda s: Lists(s.columns.filterable.lists(name), s)

    def scalar(scope: Evaluation) -> Value:
        column = scope.columns.filterable.scalar(name, type)
        values = column.values(scope.rows, scope.n)
        return Strings(values, column.vocabulary) if type == "string" else values

    return {"number": Kind.NUMBER, "boolean": Kind.BOOLEAN, "string": Kind.STRING}[type], scalar


def item_field(path: Sequence[str], columns: AttributeColumns, at: int) -> FieldRead:
    """`item.price`; an attribute as `item.year` or `item.attributes.year`. Raises FilterError for an unknown one."""
    name = path[-1]
    whole = "item." + ".".join(path)
    if len(path) == 1 and name in ITEM:
        return ITEM[name]
    if len(path) == 1 or (len(path) == 2 and path[0] == ATTRIBUTES):
        types = columns.types(name)
        if types:
            return FieldRead(f"item.{ATTRIBUTES}.{name}", dict(_of_type(name, type) for type in types), of_rows=True)
        if name in columns.left_out:
            raise FilterError(at, f"{whole} has no column: items have more attributes than can be filtered by")
    known = [*ITEM, *columns.names] if len(path) == 1 else [f"{ATTRIBUTES}.{name}" for name in columns.names]
    raise FilterError(at, unknown("item", ".".join(path), known))


def _of_asker(path: str, given: Callable[[Asker], object], *kinds: Kind) -> FieldRead:
    def read(kind: Kind) -> Run:
        return lambda scope: of_request(given(scope.asker), kind)

    return FieldRead(path, {kind: read(kind) for kind in kinds}, given=given)


USER = {
    "user_id": _of_asker("user.user_id", lambda asker: asker.user.get("user_id"), Kind.STRING),
    "interests": _of_asker("user.interests", lambda asker: asker.user.get("interests"), Kind.STRINGS),
}
REQUEST = {
    "region": _of_asker("request.region", lambda asker: asker.region or None, Kind.STRING),
    "device": _of_asker("request.device", lambda asker: asker.device or None, Kind.STRING),
}
NOW = FieldRead("now", {Kind.TIME: lambda scope: float(scope.asker.now)}, given=lambda asker: asker.now)


def user_field(path: Sequence[str], at: int) -> FieldRead:
    """`user.interests`; an attribute of the profile as `user.country` or `user.attributes.country`. Profiles are not
    known beforehand, so that any name of an attribute and any type of it may be read. Raises FilterError."""
    name = path[-1]
    if len(path) == 1 and name in USER:
        return USER[name]
    if len(path) > 2 or (len(path) == 2 and path[0] != ATTRIBUTES):
        raise FilterError(at, unknown("user", ".".join(path), [*USER, f"{ATTRIBUTES}.NAME"]))
    return _of_asker(
        f"user.{ATTRIBUTES}.{name}",
        lambda asker: asker.user.get(ATTRIBUTES, {}).get(name),
        Kind.NUMBER, Kind.STRING, Kind.BOOLEAN, Kind.STRINGS,
    )  # fmt: skip


def request_field(path: Sequence[str], at: int) -> FieldRead:
    """`request.region` or `request.device`. Raises FilterError."""
    found = REQUEST.get(path[0]) if len(path) == 1 else None
    if found is None:
        raise FilterError(at, unknown("request", ".".join(path), REQUEST))
    return found


def unknown(of: str, name: str, known: Iterable[str]) -> str:
    """The message about a name that is not among the known ones of `of`, with the nearest of them."""
    prefix = f"{of}." if of else ""
    names = sorted(known)
    folded = {each.casefold(): each for each in names}
    near = get_close_matches(name[:100].casefold(), folded, 1)
    meant = f"did you mean {prefix}{folded[near[0]]}? " if near else ""
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return f"{prefix}{name[:100]} is not known; {meant}{of or 'there'} has {listed}" if of else (
        f"{name[:100]} is not known; {meant}there are {listed}"
    )  # fmt: skip
