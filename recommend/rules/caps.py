"""Limits of how many items of a group an answer may have, counted while its positions are filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from feature_repo.columns import Mask, Rows
from recommend.query import Query
from recommend.rules.ruling import PlacedRule
from schemas.events import Item
from schemas.rules import Cap, Dedupe

Groups: TypeAlias = Sequence[tuple[Any, ...]]
ONE_GROUP: tuple[Any, ...] = ("",)


class CapCount:
    """How many items of each group stand in the first positions of an answer so far."""

    __slots__ = ("_counts", "_groups", "most", "rule", "within")

    def __init__(self, rule: PlacedRule, groups: dict[int, tuple[Any, ...]], most: int, within: int) -> None:
        """`groups`: by position among the candidates, for those that count."""
        self.rule, self.most, self.within = rule, most, within
        self._groups = groups
        self._counts: dict[Any, int] = {}

    def allows(self, candidate: int, position: int) -> bool:
        """Whether the candidate may stand at the position."""
        if position >= self.within:
            return True
        counts, most = self._counts, self.most
        return all(counts.get(group, 0) < most for group in self._groups.get(candidate, ()))

    def add(self, candidate: int, position: int) -> None:
        """Counts the candidate as standing at the position."""
        if position < self.within:
            for group in self._groups.get(candidate, ()):
                self._counts[group] = self._counts.get(group, 0) + 1


def counters(query: Query, rows: Rows, matrix: Mask | None) -> list[CapCount]:
    """The caps in force, over candidates at `rows` (n,). Of two that differ in `most` alone, the stricter one."""
    ruling, found = query.ruling, dict[tuple[Any, ...], CapCount]()
    values: dict[str, Groups] = {}
    for each in ruling.caps:
        rule = each.rule
        assert isinstance(rule, (Cap, Dedupe))
        most, first = (rule.most, rule.first) if isinstance(rule, Cap) else (1, None)
        within = min(first or query.n, query.n)
        key = rule.by, within, each.test, each.name if each.compiled.condition else ""
        if key in found:
            found[key].most = min(found[key].most, most)
            continue
        about = None
        if each.test is not None or each.compiled.condition is not None:
            about = ruling.guarded(each, ruling.about, each, rows, matrix)
            if about is None or not about.any():
                continue
        if rule.by is not None and rule.by not in values:
            items = query.columns.items
            values[rule.by] = [_values(items[row], rule.by) for row in rows.tolist()]
        places = range(len(rows)) if about is None else np.flatnonzero(about).tolist()
        of = values[rule.by] if rule.by is not None else [ONE_GROUP] * len(rows)
        found[key] = CapCount(each, {place: of[place] for place in places if of[place]}, most, within)
    return list(found.values())


def _values(item: Item | None, by: str) -> tuple[Any, ...]:
    """The groups of an item; none where it has no value, so that it counts nowhere."""
    if item is None:
        return ()
    if by == "brand":
        return (item.brand,) if item.brand else ()
    value = item.categories if by == "category" else item.attributes.get(by)
    if isinstance(value, list):
        return tuple(dict.fromkeys(value))
    return () if value is None or value == "" else (value,)
