"""What is the same for all requests that the same rules are in force for: made once, and kept with the rule set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from recommend.rules.compiled import CompiledRule
from recommend.rules.matches import Bits, Matches, RowBits
from schemas.rules import Bury, Cap, Dedupe, Hide, NotAgain, Pin, Promote, Rule, Sponsor

ADDING = 8
"""rules, of the highest priority, that add candidates to one answer"""
EACH = 20
"""candidates that one rule adds at most"""
END = 100_000
"""more places than there are candidates"""
Moves: TypeAlias = npt.NDArray[np.float32]


class PlacedRule:
    """A compiled rule, the number of its test, and its conditions as they are checked."""

    __slots__ = (
        "compiled", "conditional", "devices", "kind", "name", "regions", "rule", "segment", "starts", "test", "until",
    )  # fmt: skip

    def __init__(self, compiled: CompiledRule, test: int | None) -> None:
        rule: Rule = compiled.rule
        self.compiled, self.test, self.name, self.rule = compiled, test, compiled.name, rule
        self.segment = compiled.segment
        self.kind = str(rule.__struct_config__.tag)
        self.regions, self.devices = frozenset(rule.regions), frozenset(rule.devices)
        self.starts = float("-inf") if rule.starts is None else rule.starts
        self.until = float("inf") if rule.until is None else rule.until
        timed = rule.starts is not None or rule.until is not None
        self.conditional = bool(timed or self.regions or self.devices or self.segment)


class RulePlan:
    """Rules by what they do, each list by priority."""

    def __init__(self, rules: Sequence[PlacedRule], matches: Matches | None) -> None:
        def of(*kinds: type[Rule]) -> list[PlacedRule]:
            return [each for each in rules if isinstance(each.rule, kinds)]

        self.rules = rules
        self.hides, self.not_again, self.caps = of(Hide), of(NotAgain), of(Cap, Dedupe)
        self.limits = [each for each in rules if each.compiled.is_limit]
        self.slots = of(Pin, Sponsor)
        """pins and sponsored positions"""
        promotes = of(Promote)
        self.shares = [each for each in promotes if isinstance(each.rule, Promote) and each.rule.share]
        self.moves = [each for each in of(Promote, Bury) if each not in self.shares]
        self.pins = list(dict.fromkeys(each.rule.item_id for each in self.slots if isinstance(each.rule, Pin)))
        """ids of the items"""
        self.arranges = bool(self.moves or self.shares or self.slots or self.caps)
        self.removes = bool(self.hides or self.limits or self.not_again)
        self.hide_key: Bits | None = None
        """the tests that hide items; None without any"""
        self.ends = [each for each in self.moves if _places(each) == 0]
        """moves to an end"""
        self.single = [each for each in self.moves if each.test is None and _places(each)]
        """moves by places whose items depend on the request"""
        added = [each for each in (*self.slots, *self.shares, *self.ends) if isinstance(each.rule, (Sponsor, Promote))]
        self.adding = [(each.test, each.rule) for each in added if each.test is not None]
        """tests whose most popular items become candidates, and their rules"""
        self.placing = [each.test for each in (*self.slots, *self.shares) if each.test is not None]
        """tests of the rules that place items one by one"""
        numbered = list(enumerate(reversed(self.ends), 1))
        self.ends_of_request = [(number, each) for number, each in numbered if each.test is None]
        """moves to an end whose items depend on the request, and their numbers: the greater one wins"""
        by_places = [(each.test, _places(each)) for each in self.moves if each.test is not None and _places(each)]
        self._places = ByteTable(by_places, np.add)
        self._ends = ByteTable([(each.test, n) for n, each in numbered if each.test is not None], np.maximum)
        signs = [1 if isinstance(each.rule, Promote) else -1 for each in reversed(self.ends)]
        self._end_places = np.array([0, *(n * END * sign for n, sign in enumerate(signs, 1))], np.float32)
        if matches is not None:
            hides = [each.test for each in self.hides if each.test is not None]
            self.hide_key = matches.key(hides) if hides else None

    def net_places(self, bits: RowBits) -> Moves:
        """How many places up (n,) the items with these bits move, of moves by places whose items do not depend on the
        request."""
        return self._places.of(bits)

    def end_numbers(self, bits: RowBits) -> Moves:
        """The greatest number (n,) of the moves to an end that the items with these bits are of, 0 for none, of those
        whose items do not depend on the request."""
        return self._ends.of(bits)

    def to_end(self, numbers: Moves) -> Moves:
        """How many places up (n,) the moves of these numbers move an item."""
        return self._end_places.take(numbers.astype(np.intp))


class ByteTable:
    """A number for each byte of the bits and each of its values, made of the numbers of tests: a request looks one up
    for each byte instead of going through the tests."""

    def __init__(self, numbers: Sequence[tuple[int, int]], combine: np.ufunc) -> None:
        """(Test, its number); `combine` makes one number of those of all tests that an item matches, and leaves one as
        it is with 0."""
        used = sorted({test >> 3 for test, _ in numbers})
        table, values = np.zeros((len(used), 256), np.float32), np.arange(256)
        for test, number in numbers:
            of_byte = table[used.index(test >> 3)]
            combine(of_byte, np.where(values >> (test & 7) & 1, number, 0), out=of_byte)
        self._used, self._table, self._combine = np.array(used, np.intp), table.ravel(), combine
        self._starts = 256 * np.arange(len(used))[:, None]

    def of(self, bits: RowBits) -> Moves:
        """The number (n,) of each item with these bits."""
        if not len(self._used):
            return np.zeros(len(bits), np.float32)
        places = bits.bytes(self._used) + self._starts
        found: Moves = self._combine.reduce(self._table.take(places, mode="clip"), axis=0)  # faster than with a check
        return found


def wanted(rule: Rule, n: int) -> int:
    """How many items a rule needs as candidates for an answer of n, and some that other rules may keep out."""
    if isinstance(rule, Sponsor):
        needed = sum(position < n for position in rule.positions)
    elif isinstance(rule, Promote) and rule.share:
        needed = int(rule.share * n)
    else:
        needed = n
    return min(2 * needed, EACH)


def _places(each: PlacedRule) -> int:
    """Up, or down where it is negative; 0 is to an end."""
    rule = each.rule
    assert isinstance(rule, (Promote, Bury))
    return (rule.places or 0) * (1 if isinstance(rule, Promote) else -1)
