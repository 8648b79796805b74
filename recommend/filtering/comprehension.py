"""`exists` and `all`: a condition on each element of a list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recommend.filtering import operations
from recommend.filtering.fields import Run
from recommend.filtering.values import Evaluation, Lists, Strings, Value


def over_rows(lists: Lists, name: str, test: Run, scope: Evaluation, every: bool) -> Value:
    """Which rows have a list with an element, or with every element, that meets the test; the test is made once for
    each string that occurs in any list. False where a row has no list."""
    vocabulary = lists.vocabulary
    n = len(vocabulary.names)
    element = Strings(np.arange(n), vocabulary)
    met = test(replace(scope, n=n, rows=None, variables={**scope.variables, name: element}))
    table = np.full(n, met) if isinstance(met, bool) else met
    return (lists.lengths >= 0) & ~lists.any(~table) if every else lists.any(table)


def over_list(values: Value, name: str, test: Run, scope: Evaluation, every: bool) -> Value:
    """The same for a list of the person, up to the element after which the result is known for all rows. False where
    it is missing."""
    if values is None:
        return False
    join = operations.both if every else operations.either
    found: Value = every
    for value in values:
        found = join(found, test(replace(scope, variables={**scope.variables, name: value})))
        if not (np.any(found) if every else not np.all(found)):
            return found
    return found
