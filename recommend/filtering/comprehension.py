"""`exists` and `all`: a condition on each element of a list."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from recommend.filtering import operations
from recommend.filtering.fields import Run
from recommend.filtering.values import Evaluation, Lists, Spelled, Strings, Value


def over_rows(lists: Lists, name: str, test: Run, scope: Evaluation, every: bool) -> Value:
    """Which rows have a list with an element, or with every element, that meets the test; the test is made once for
    each string that occurs in any list. False where a row has no list."""
    names = list(lists.vocabulary.names)
    element = Strings(np.arange(len(names)), Spelled(names))
    inside = replace(scope, n=len(names), rows=None, variables={**scope.variables, name: element})
    met = test(inside)
    table = np.full(len(names), met) if isinstance(met, bool) else met
    return (lists.lengths >= 0) & ~lists.any(~table) if every else lists.any(table)


def over_list(values: Value, name: str, test: Run, scope: Evaluation, every: bool) -> Value:
    """The same for a list of the request, or one that is written out. False where it is missing."""
    if values is None:
        return False
    join = operations.both if every else operations.either
    found = (test(replace(scope, variables={**scope.variables, name: value})) for value in values)
    return functools.reduce(join, found, every)
