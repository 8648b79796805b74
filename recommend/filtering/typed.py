"""Checked parts of a filter, and the functions that compute them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommend.filtering import operations
from recommend.filtering.errors import FilterError
from recommend.filtering.fields import Run
from recommend.filtering.nodes import Constant, Node
from recommend.filtering.values import Evaluation, Kind, Strings, Value

SUMS: dict[tuple[str, Kind, Kind], Kind] = {
    **{(sign, Kind.NUMBER, Kind.NUMBER): Kind.NUMBER for sign in operations.ARITHMETIC},
    ("+", Kind.TIME, Kind.DURATION): Kind.TIME,
    ("+", Kind.DURATION, Kind.TIME): Kind.TIME,
    ("-", Kind.TIME, Kind.DURATION): Kind.TIME,
    ("-", Kind.TIME, Kind.TIME): Kind.DURATION,
    ("+", Kind.DURATION, Kind.DURATION): Kind.DURATION,
    ("-", Kind.DURATION, Kind.DURATION): Kind.DURATION,
}
ELEMENT = {Kind.STRINGS: Kind.STRING, Kind.NUMBERS: Kind.NUMBER}
LIST_OF = {element: kind for kind, element in ELEMENT.items()}


@dataclass(frozen=True, slots=True)
class Typed:
    """A checked part of a filter: how it is computed, as each of the types that it may have."""

    at: int
    runs: Mapping[Kind, Run]
    of_rows: bool = False
    is_field: bool = False
    indexed: bool = True
    """as `FieldRead.indexed`"""
    longest: int = 1
    """elements that a list of the person has at most"""
    size: int = 0
    """elements of a list that is written out"""

    @property
    def kinds(self) -> str:
        return " or ".join(kind.value for kind in self.runs)

    def as_kind(self, kind: Kind, needs: str) -> Run:
        """Raises FilterError where it can have no such type."""
        run = self.runs.get(kind)
        if run is None:
            raise FilterError(self.at, f"{needs} {kind.value}; this is {self.kinds}{hint(kind, self)}")
        return run


def hint(wanted: Kind, found: Typed) -> str:
    """What to write instead, where a time is compared with something else."""
    if wanted is Kind.TIME and (Kind.NUMBER in found.runs or Kind.STRING in found.runs):
        return '; write timestamp("2026-01-31T12:00:00Z")'
    if wanted is Kind.NUMBER and Kind.TIME in found.runs:
        return '; times are compared with timestamp("2026-01-31T12:00:00Z")'
    return ""


def boolean(node: Node, run: Run, of_rows: bool) -> Typed:
    """A part that is true or false."""
    return Typed(node.at, {Kind.BOOLEAN: run}, of_rows)


def constant(node: Constant) -> Typed:
    """A literal."""
    value = node.value
    kind = Kind.BOOLEAN if isinstance(value, bool) else Kind.STRING if isinstance(value, str) else Kind.NUMBER
    return Typed(node.at, {kind: lambda s: value})


def variable(name: str, kind: Kind) -> Run:
    """An element of a list, within `exists` and `all`; missing where it is of another kind."""

    def run(scope: Evaluation) -> Value:
        value = scope.variables[name]
        if kind is Kind.STRING:
            return value if isinstance(value, (str, Strings)) else None
        return value if isinstance(value, float) else np.nan

    return run


def listing(runs: Sequence[Run]) -> Run:
    """The elements of a list that are not missing."""

    def run(scope: Evaluation) -> Value:
        found = [each(scope) for each in runs]
        return tuple(value for value in found if operations.is_present(value))

    return run


def calculation(sign: str, a: Run, b: Run) -> Run:
    """An arithmetic operation."""
    return lambda s: operations.calculate(sign, a(s), b(s))


def joined(join: operations.Join, parts: Sequence[Run], scope: Evaluation) -> Value:
    """Left to right, until the result is the same for all rows whatever follows."""
    found = parts[0](scope)
    for part in parts[1:]:
        if isinstance(found, bool) and found is (join is operations.either):
            break
        found = join(found, part(scope))
    return found


def any_of(values: Sequence[Value]) -> Value:
    """Whether any of these booleans is true, by row."""
    return functools.reduce(operations.either, values)


def first_of(values: Sequence[Value]) -> Value:
    """The first of these numbers that is not missing, by row."""
    found = values[0]
    for value in values[1:]:
        if isinstance(found, np.ndarray) or isinstance(value, np.ndarray):
            found = np.where(np.isnan(found), value, found)
        elif found != found:
            found = value
    return found
