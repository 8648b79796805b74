"""Limits of how many items of a group an answer may have, counted while its positions are filled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.rules.matches import RowBits
from recommend.rules.plan import PlacedRule
from schemas.events import Item
from schemas.rules import Cap, Dedupe

Groups: TypeAlias = tuple[Any, ...]
ONE_GROUP: Groups = ("",)


class CapCount:
    """How many items of each group stand in the first positions of an answer so far."""

    __slots__ = ("_counts", "_groups", "_known", "_members", "most", "rule", "tight", "within")

    def __init__(
        self, rule: PlacedRule, groups: Callable[[int], Groups], members: bytes | None, most: int, within: int
    ) -> None:
        """`groups` of a candidate are asked for once for each. `members`: of each candidate, whether it counts; None
        where all do."""
        self.rule, self.most, self.within = rule, most, within
        self.tight = False
        """whether a group is full, so that it has to be asked"""
        self._groups, self._members = groups, members
        self._known: dict[int, Groups] = {}
        self._counts: dict[Any, int] = {}

    def allows(self, candidate: int, position: int) -> bool:
        """Whether the candidate may stand at the position."""
        if position >= self.within or (self._members is not None and not self._members[candidate]):
            return True
        return all(self._counts.get(group, 0) < self.most for group in self._of(candidate))

    def add(self, candidate: int, position: int) -> None:
        """Counts the candidate as standing at the position."""
        if position < self.within and (self._members is None or self._members[candidate]):
            for group in self._of(candidate):
                count = self._counts[group] = self._counts.get(group, 0) + 1
                self.tight = self.tight or count >= self.most

    def _of(self, candidate: int) -> Groups:
        found = self._known.get(candidate)
        if found is None:
            found = self._known[candidate] = self._groups(candidate)
        return found


def counters(query: Query, rows: Rows, bits: RowBits) -> list[CapCount]:
    """The caps in force, over candidates at `rows` (n,) with these bits. Of two that differ in `most` alone,
    the stricter one."""
    ruling, found = query.ruling, dict[tuple[Any, ...], CapCount]()
    for each in ruling.plan.caps:
        rule = each.rule
        assert isinstance(rule, (Cap, Dedupe))
        most, first = (rule.most, rule.first) if isinstance(rule, Cap) else (1, None)
        within = min(first or query.n, query.n)
        if most >= within:
            continue
        key = rule.by, within, each.test, each.name if each.compiled.condition else ""
        if key in found:
            found[key].most = min(found[key].most, most)
            continue
        members = None
        if each.test is not None or each.compiled.condition is not None:
            about = ruling.guarded(each, ruling.about, each, rows, bits)
            if about is None or np.count_nonzero(about) <= most:
                continue
            members = about.tobytes()
        found[key] = CapCount(each, partial(_groups, query, rows, rule.by), members, most, within)
    return list(found.values())


def _groups(query: Query, rows: Rows, by: str | None, candidate: int) -> Groups:
    return ONE_GROUP if by is None else _values(query.columns.items[int(rows[candidate])], by)


def _values(item: Item | None, by: str) -> Groups:
    """The groups of an item; none where it has no value, so that it counts nowhere."""
    if item is None:
        return ()
    if by == "brand":
        return (item.brand,) if item.brand else ()
    value = item.categories if by == "category" else item.attributes.get(by)
    if isinstance(value, list):
        return tuple(dict.fromkeys(value))
    return () if value is None or value == "" else (value,)
