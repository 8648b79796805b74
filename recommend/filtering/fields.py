"""The fields that a filter may read, and how each is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np

from feature_repo.attribute_columns import AttributeColumns, Type
from feature_repo.columns import ItemColumns
from recommend.filtering import hints
from recommend.filtering.cost import COLUMN, STEP, TITLES
from recommend.filtering.errors import FilterError
from recommend.filtering.values import Evaluation, Kind, Lists, RequestValues, Strings, Unindexed, Value, of_request

Run: TypeAlias = Callable[[Evaluation], Value]
ATTRIBUTES = "attributes"
LONGEST_LIST, INTERESTS = 256, 64
"""elements of a list among attributes, and of interests, that events may have (schemas/events.py)"""
SHOWN = 20
"""names that an error lists at most"""


@dataclass(frozen=True, slots=True)
class FieldRead:
    """A field of an item, a person or a request."""

    path: str
    runs: Mapping[Kind, Run]
    """how it is read as each of the types that it may have"""
    cost: int = STEP
    """of reading it"""
    of_rows: bool = False
    """whether it differs by row"""
    indexed: bool = True
    """whether its strings have an index, so that one of them is found without looking at all"""
    of_user: bool = False
    """whether it is the person's"""
    of_attributes: bool = False
    """whether it is an attribute of the person's profile"""
    changes_alone: bool = False
    """whether its column also changes without a new catalogue entry"""
    longest: int = 1
    """elements that a list of the person has at most"""
    given: Callable[[RequestValues], object] | None = None
    """its value, where it is the request's"""


class _RowIds:
    """Item ids as names: the code of row r is r + 1."""

    def __init__(self, columns: ItemColumns, n: int) -> None:
        self._columns, self._n = columns, n

    @property
    def names(self) -> Sequence[str | None]:
        return [None, *self._columns.ids[: self._n]]

    def get(self, name: str, default: Any = None, /) -> Any:
        row = self._columns.row_of.get(name)
        return default if row is None else row + 1


def _ids(scope: Evaluation) -> Value:
    codes = np.arange(1, scope.n + 1) if scope.rows is None else scope.rows + 1
    return Strings(codes, _RowIds(scope.columns, scope.columns.n))


def _titles(scope: Evaluation) -> Value:
    items = scope.columns.items
    here = items[: scope.n] if scope.rows is None else [items[row] for row in scope.rows.tolist()]
    names = [None, *[item.title or None if item else None for item in here]]
    codes = np.arange(1, len(names))
    codes[[place for place, name in enumerate(names[1:]) if name is None]] = 0
    return Strings(codes, Unindexed(names))


def _column(name: str) -> Run:
    def run(scope: Evaluation) -> Value:
        values = getattr(scope.columns, name)
        return values[: scope.n] if scope.rows is None else values.take(scope.rows)

    return run


def _brands(scope: Evaluation) -> Value:
    return Strings(_column("brand")(scope), scope.columns.brand_codes)


def _once(name: str, run: Run) -> Run:
    """The same, read once in an evaluation. What reads a field never changes what it has read."""

    def read(scope: Evaluation) -> Value:
        found = scope.read.get(name)
        if found is None:
            found = scope.read[name] = run(scope)
        return found

    return read


def _of_item(
    name: str, kind: Kind, run: Run, cost: int = COLUMN, indexed: bool = True, changes_alone: bool = False
) -> FieldRead:
    return FieldRead(
        f"item.{name}", {kind: _once(f"item.{name}", run)}, cost, True, indexed, changes_alone=changes_alone
    )


ITEM = {
    "item_id": _of_item("item_id", Kind.STRING, _ids),
    "title": _of_item("title", Kind.STRING, _titles, TITLES, indexed=False),
    "categories": _of_item("categories", Kind.STRINGS, lambda s: Lists(s.columns.filterable.categories, s)),
    "brand": _of_item("brand", Kind.STRING, _brands),
    "price": _of_item("price", Kind.NUMBER, _column("price")),
    "created_at": _of_item("created_at", Kind.TIME, _column("created_at")),
    "available": _of_item("available", Kind.BOOLEAN, _column("available"), changes_alone=True),
}


def _of_type(name: str, type: Type) -> tuple[Kind, Run]:
    if type == "list":
        return Kind.STRINGS, lambda s: Lists(s.columns.filterable.lists(name), s)

    def scalar(scope: Evaluation) -> Value:
        column = scope.columns.filterable.scalar(name, type)
        values, vocabulary = column.coded(scope.rows, scope.n)
        return Strings(values, vocabulary) if type == "string" else values

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
            whole = f"item.{ATTRIBUTES}.{name}"
            found = (_of_type(name, type) for type in types)
            runs = {kind: _once(f"{whole} {kind.name}", run) for kind, run in found}
            return FieldRead(whole, runs, 2 * COLUMN * len(types), of_rows=True)
        if columns.is_left_out(name):
            raise FilterError(at, f"{whole} has no column: items have more attributes than can be filtered by")
    known = [*ITEM, *columns.names] if len(path) == 1 else [f"{ATTRIBUTES}.{name}" for name in columns.names]
    raise FilterError(at, unknown("item", ".".join(path), known))


def _of_request(
    path: str,
    given: Callable[[RequestValues], object],
    *kinds: Kind,
    of_user: bool = False,
    of_attributes: bool = False,
    longest: int = 1,
) -> FieldRead:
    def read(kind: Kind) -> Run:
        return lambda scope: of_request(given(scope.request), kind)

    return FieldRead(
        path,
        {kind: read(kind) for kind in kinds},
        of_user=of_user,
        of_attributes=of_attributes,
        longest=longest,
        given=given,
    )


USER = {
    "user_id": _of_request("user.user_id", lambda request: request.user.get("user_id"), Kind.STRING, of_user=True),
    "interests": _of_request(
        "user.interests", lambda request: request.user.get("interests"), Kind.STRINGS, of_user=True, longest=INTERESTS
    ),
}
REQUEST_FIELDS = {
    "region": _of_request("request.region", lambda request: request.region or None, Kind.STRING),
    "device": _of_request("request.device", lambda request: request.device or None, Kind.STRING),
}
NOW = FieldRead("now", {Kind.TIME: lambda scope: float(scope.request.now)}, given=lambda request: request.now)


def user_field(path: Sequence[str], at: int) -> FieldRead:
    """`user.interests`; an attribute of the profile as `user.country` or `user.attributes.country`. Profiles are not
    known beforehand, so that any name of an attribute and any type of it may be read. Raises FilterError."""
    name = path[-1]
    if len(path) == 1 and name in USER:
        return USER[name]
    if len(path) > 2 or (len(path) == 2 and path[0] != ATTRIBUTES):
        raise FilterError(at, unknown("user", ".".join(path), [*USER, f"{ATTRIBUTES}.NAME"]))
    return _of_request(
        f"user.{ATTRIBUTES}.{name}",
        lambda request: request.user.get(ATTRIBUTES, {}).get(name),
        Kind.NUMBER, Kind.STRING, Kind.BOOLEAN, Kind.STRINGS, of_user=True, of_attributes=True,
        longest=LONGEST_LIST,
    )  # fmt: skip


def request_field(path: Sequence[str], at: int) -> FieldRead:
    """`request.region` or `request.device`. Raises FilterError."""
    found = REQUEST_FIELDS.get(path[0]) if len(path) == 1 else None
    if found is None:
        raise FilterError(at, unknown("request", ".".join(path), REQUEST_FIELDS))
    return found


def unknown_name(name: str, columns: AttributeColumns, variables: Iterable[str]) -> str:
    """The message about a name that begins no field: the name of a field without what it is of, a word of another
    language, or a text without quotes."""
    fields = [f"item.{each}" for each in (*ITEM, *columns.names)]
    fields += [*(f"user.{each}" for each in USER), *(f"request.{each}" for each in REQUEST_FIELDS)]
    hint = hints.name(name, fields)
    if hint:
        return f"{name[:100]} is not known; {hint}"
    near = unknown("", name, ["item", "user", "request", "now", *variables])
    return near if "did you mean" in near else f"{near}; {hints.text(name)}"


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
