"""The rules that are in force for one request, and what they did to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from feature_repo.columns import Mask, Rows
from recommend.filtering import RequestValues
from recommend.rules.matches import Matches, RowBits
from recommend.rules.plan import PlacedRule, RulePlan

REMOVED = "removed"
"""the effect of rules that hide, limit, or do not show again"""
SHOWN = 50
"""items of one effect that a trace names"""


class RuleEffect(Struct, omit_defaults=True):
    """What one rule did to an answer."""

    rule: str
    kind: str
    effect: str
    """REMOVED, pinned, sponsored, promoted, buried, kept out by a cap, or skipped"""
    n: int = 0
    items: list[str] = []
    """ids, SHOWN at most"""
    failed: str | None = None
    """why the rule was skipped, or why it removed everything"""


class SponsoredMark(NamedTuple):
    """Of an item in a sponsored position."""

    rule: str
    label: str


class Ruling:
    """The plan of the rules in force, and what a request adds to it. Used by one request, in one thread."""

    def __init__(self, plan: RulePlan, matches: Matches | None, request: RequestValues) -> None:
        self.plan, self.matches, self.request = plan, matches, request
        self.effects: list[RuleEffect] = []
        self.marks: dict[int, SponsoredMark] = {}
        """row → mark of items in sponsored positions"""
        self._failed: set[str] = set()
        if matches is not None and matches.broken:
            for each in plan.rules:
                if each.test in matches.broken:
                    self.fail(each, matches.broken[each.test])

    # -- which items a rule is about -------------------------------------------------------------------

    def bits(self, rows: Rows) -> RowBits:
        """The results of all tests for these rows."""
        if self.matches is None:
            return RowBits(np.zeros((len(rows), 0), np.uint8))
        return self.matches.bits(rows, self.request.now)

    def visible(self) -> Mask | None:
        """Which rows (n,) no rule hides, to narrow a search: see `Matches.visible`. None where that is all."""
        key = self.plan.hide_key
        return None if key is None or self.matches is None else self.matches.visible(key)

    def about(self, each: PlacedRule, rows: Rows, bits: RowBits) -> Mask:
        """Which rows (n,) the rule is about. Raises whatever the evaluation does."""
        if each.test is not None:
            return bits.of(each.test)
        condition = each.compiled.condition
        return np.ones(len(rows), bool) if condition is None else condition.passes(self.request, rows)

    def positions(self, each: PlacedRule, rows: Rows, bits: RowBits) -> Rows:
        """Positions of the rows (n,) that the rule is about, ascending; none where the rule fails."""
        if each.test is not None:
            return bits.positions(each.test)
        found = self.guarded(each, self.about, each, rows, bits)
        return np.zeros(0, np.int64) if found is None else np.flatnonzero(found)

    def guarded(self, each: PlacedRule, work: Callable[..., Mask], *arguments: object) -> Mask | None:
        """The result of `work(*arguments)`; None where the rule fails, which is then skipped and named in the
        effects."""
        if each.name in self._failed:
            return None
        try:
            return work(*arguments)
        except Exception as error:
            self.fail(each, type(error).__name__)
            return None

    def fail(self, each: PlacedRule, why: str) -> None:
        """Records that a rule failed, once."""
        if each.name not in self._failed:
            self._failed.add(each.name)
            effect = "removed all" if each.compiled.is_limit else "skipped"
            self.effects.append(RuleEffect(each.name, each.kind, effect, failed=why))

    def note(self, each: PlacedRule, effect: str, ids: Sequence[str]) -> None:
        """Records what a rule did; where it did so before, adds to it."""
        for known in self.effects:
            if known.rule == each.name and known.effect == effect:
                new = [item for item in ids if item not in known.items]
                known.n += len(new)
                known.items.extend(new[: SHOWN - len(known.items)])
                return
        self.effects.append(RuleEffect(each.name, each.kind, effect, len(ids), list(ids[:SHOWN])))
