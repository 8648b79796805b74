"""The rules that are in force for one request, and what they did to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from feature_repo.columns import Mask, Rows
from recommend.filtering import RequestValues
from recommend.rules.compiled import CompiledRule
from recommend.rules.matches import Bits, Matches
from schemas.rules import Bury, Cap, Dedupe, Hide, NotAgain, Pin, Promote, Rule, Sponsor

SHOWN = 50
"""items of one effect that a trace names"""


class RuleEffect(Struct, omit_defaults=True):
    """What one rule did to an answer."""

    rule: str
    kind: str
    effect: str
    """removed, pinned, sponsored, promoted, buried, kept out by a cap, or skipped"""
    n: int = 0
    items: list[str] = []
    """ids, SHOWN at most"""
    failed: str | None = None
    """why the rule was skipped, or why it removed everything"""


class SponsoredMark(NamedTuple):
    """Of an item in a sponsored position."""

    rule: str
    label: str


class PlacedRule:
    """A compiled rule and the number of its test."""

    __slots__ = ("compiled", "devices", "kind", "name", "regions", "rule", "segment", "starts", "test", "until")

    def __init__(self, compiled: CompiledRule, test: int | None) -> None:
        rule: Rule = compiled.rule
        self.compiled, self.test, self.name, self.rule, self.segment = (
            compiled, test, compiled.name, rule, compiled.segment,
        )  # fmt: skip
        self.kind = str(rule.__struct_config__.tag)
        self.regions, self.devices = frozenset(rule.regions), frozenset(rule.devices)
        self.starts = float("-inf") if rule.starts is None else rule.starts
        self.until = float("inf") if rule.until is None else rule.until


class Ruling:
    """Rules by what they do, each list by priority. Used by one request, in one thread."""

    def __init__(self, rules: Iterable[PlacedRule], matches: Matches | None, request: RequestValues) -> None:
        self.matches, self.request = matches, request
        self.effects: list[RuleEffect] = []
        self.marks: dict[int, SponsoredMark] = {}
        """row → mark of items in sponsored positions"""
        self.hides: list[PlacedRule] = []
        self.limits: list[PlacedRule] = []
        self.not_again: list[PlacedRule] = []
        self.moves: list[PlacedRule] = []
        self.shares: list[PlacedRule] = []
        self.slots: list[PlacedRule] = []
        """pins and sponsored positions"""
        self.caps: list[PlacedRule] = []
        self._failed: set[str] = set()
        self._hidden: Bits | None = None
        self._sort(rules)

    def _sort(self, rules: Iterable[PlacedRule]) -> None:
        now, region, device = self.request.now, self.request.region, self.request.device
        segments: dict[str, bool] = {}
        for each in rules:
            if not each.starts <= now < each.until or (each.regions and region not in each.regions):
                continue
            if (each.devices and device not in each.devices) or (each.segment and not self._in_segment(each, segments)):
                continue
            rule = each.rule
            if isinstance(rule, Hide):
                self.hides.append(each)
            elif isinstance(rule, Promote):
                (self.shares if rule.share else self.moves).append(each)
            elif isinstance(rule, Bury):
                self.moves.append(each)
            elif isinstance(rule, (Pin, Sponsor)):
                self.slots.append(each)
            elif isinstance(rule, (Cap, Dedupe)):
                self.caps.append(each)
            elif isinstance(rule, NotAgain):
                self.not_again.append(each)
            else:
                self.limits.append(each)

    def _in_segment(self, each: PlacedRule, found: dict[str, bool]) -> bool:
        segment = each.segment
        assert segment is not None
        holds = found.get(segment.text)
        if holds is None:
            try:
                holds = found[segment.text] = segment.holds(self.request)
            except Exception as error:
                self.fail(each, error)
                return each.compiled.is_limit
        return holds

    # -- which items a rule is about -------------------------------------------------------------------

    @property
    def arranges(self) -> bool:
        """Whether any rule changes the order."""
        return bool(self.moves or self.shares or self.slots or self.caps)

    @property
    def removes(self) -> bool:
        """Whether any rule removes items."""
        return bool(self.hides or self.limits or self.not_again)

    def visible(self) -> Mask | None:
        """Which rows (n,) no rule hides, to narrow a search: see `Matches.visible`. None where that is all."""
        if self.matches is None or not (key := self._hide_key()).any():
            return None
        return self.matches.visible(key)

    def hidden(self, rows: Rows) -> Mask:
        """Which rows (n,) a rule hides whose test depends on items alone."""
        if self.matches is None or not (key := self._hide_key()).any():
            return np.zeros(len(rows), bool)
        found: Mask = (self.matches.packed(rows) & key).any(axis=1)
        return found

    def _hide_key(self) -> Bits:
        if self._hidden is None:
            assert self.matches is not None
            self._hidden = self.matches.key([each.test for each in self.hides if each.test is not None])
        return self._hidden

    def about(self, each: PlacedRule, rows: Rows, matrix: Mask | None) -> Mask:
        """Which rows (n,) the rule is about. `matrix` are the results of all tests for the rows, None without any.
        Raises whatever the evaluation does."""
        if each.test is not None:
            assert matrix is not None
            assert self.matches is not None
            if each.test in self.matches.broken:
                raise ValueError(f"its filter failed: {self.matches.broken[each.test]}")
            found: Mask = matrix[:, each.test]
            return found
        condition = each.compiled.condition
        return np.ones(len(rows), bool) if condition is None else condition.passes(self.request, rows)

    def guarded(self, each: PlacedRule, work: Callable[..., Mask], *arguments: object) -> Mask | None:
        """The result of `work(*arguments)`; None where the rule fails, which is then skipped and named in the
        effects."""
        if each.name in self._failed:
            return None
        try:
            return work(*arguments)
        except Exception as error:
            self.fail(each, error)
            return None

    def fail(self, each: PlacedRule, error: Exception) -> None:
        """Records that a rule failed, once."""
        if each.name not in self._failed:
            self._failed.add(each.name)
            effect = "removed all" if each.compiled.is_limit else "skipped"
            self.effects.append(RuleEffect(each.name, each.kind, effect, failed=type(error).__name__))

    def note(self, each: PlacedRule, effect: str, ids: Sequence[str]) -> None:
        """Records what a rule did; where it did so before, adds to it."""
        for known in self.effects:
            if known.rule == each.name and known.effect == effect:
                new = [item for item in ids if item not in known.items]
                known.n += len(new)
                known.items.extend(new[: SHOWN - len(known.items)])
                return
        self.effects.append(RuleEffect(each.name, each.kind, effect, len(ids), list(ids[:SHOWN])))
