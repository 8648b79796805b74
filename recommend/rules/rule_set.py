"""All rules of a moment as one value: a request takes it once, so that no rule is ever half in force."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from feature_repo.columns import ItemColumns
from recommend.filtering import ItemFilters, RequestValues
from recommend.rules.compiled import CompiledRule, compiled
from recommend.rules.matches import Matches, Test
from recommend.rules.plan import PlacedRule, RulePlan
from recommend.rules.ruling import Ruling
from schemas.errors import InvalidEvent
from schemas.rules import Rule

PLANS, SEGMENTS = 256, 512
"""plans, and sets of values that segments read with the results of those, that are kept"""


@dataclass(frozen=True, eq=False)
class RuleSet:
    """Compiled rules, those of the highest priority first. One thread uses it for requests."""

    rules: tuple[PlacedRule, ...] = ()
    matches: Matches | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    """rules that do not fit the attributes that items have now, and so do nothing: name → why"""
    shape: int = 0
    """of the columns that it was compiled against"""
    reads_attributes: bool = False
    """whether any of the rules reads attributes of the person's profile"""
    reads_shown: bool = False
    """whether any of the rules reads what the person was shown"""
    _conditional: dict[str, list[PlacedRule]] = field(default_factory=dict)
    """by surface"""
    _plans: LRUCache[Hashable, RulePlan] = field(default_factory=lambda: LRUCache(PLANS))
    _segments: LRUCache[Hashable, dict[str, bool]] = field(default_factory=lambda: LRUCache(SEGMENTS))
    """fields and their values → result by text of those segments that read these fields"""

    def ruling(self, surface: str, request: RequestValues) -> Ruling:
        """The rules in force for a request. Never raises: a rule whose condition fails is skipped, and named."""
        conditional = self._conditional.get(surface)
        if conditional is None:
            conditional = [each for each in self.rules if each.conditional and _is_of(each, surface)]
            self._conditional[surface] = conditional
        failed: list[tuple[PlacedRule, str]] = []
        results: dict[tuple[str, ...], dict[str, bool]] = {}
        now, region, device = request.now, request.region, request.device
        met = [
            each
            for each in conditional
            if each.starts <= now < each.until
            and (not each.regions or region in each.regions)
            and (not each.devices or device in each.devices)
            and (each.segment is None or self._in_segment(each, request, results, failed))
        ]
        key = (surface, *map(id, met))
        plan = self._plans.get(key)
        if plan is None:
            found = [each for each in self.rules if (each in met if each.conditional else _is_of(each, surface))]
            plan = self._plans[key] = RulePlan(found, self.matches)
        ruling = Ruling(plan, self.matches, request)
        for each, why in failed:
            ruling.fail(each, why)
        return ruling

    def _in_segment(
        self,
        each: PlacedRule,
        request: RequestValues,
        results: dict[tuple[str, ...], dict[str, bool]],
        failed: list[tuple[PlacedRule, str]],
    ) -> bool:
        """Where that cannot be found out, a policy applies, and another rule does not. `results` are those of this
        request by the fields that segments read, whose values are read once."""
        segment = each.segment
        assert segment is not None
        try:
            of_fields = results.get(segment.fields)
            if of_fields is None:
                key = segment.fields, segment.reads(request)
                of_fields = self._segments.get(key)
                if of_fields is None:
                    of_fields = self._segments[key] = {}
                results[segment.fields] = of_fields
            found = of_fields.get(segment.text)
            if found is None:
                found = of_fields[segment.text] = segment.holds(request)
            return found
        except Exception as error:
            failed.append((each, type(error).__name__))
            return each.compiled.is_limit


def _is_of(each: PlacedRule, surface: str) -> bool:
    return not each.rule.surfaces or surface in each.rule.surfaces


NO_RULES = RuleSet()


def no_rules() -> RuleSet:
    """None at all: what a replay and a training apply."""
    return NO_RULES


def compile_all(
    rules: Mapping[str, Rule], columns: ItemColumns, filters: ItemFilters, known: RuleSet = NO_RULES
) -> RuleSet:
    """The rules that are enabled, by name, over the columns; those that do not fit stand in `faults`. What `known`, the
    set that is in force, has found out of the same items is used again."""
    shape = columns.filterable.shape
    found: list[CompiledRule] = []
    faults: dict[str, str] = {}
    for name, rule in sorted(rules.items(), key=lambda each: (-each[1].priority, each[0])):
        if not rule.enabled:
            continue
        try:
            found.append(compiled(name, rule, columns, filters))
        except InvalidEvent as error:
            faults[name] = str(error)
    places: dict[Test, int] = {}
    placed = [
        PlacedRule(each, None if each.test is None else places.setdefault(each.test, len(places))) for each in found
    ]
    before = known.matches if known.shape == shape else None
    matches = Matches(columns, list(places), before) if places else None
    return RuleSet(
        tuple(placed), matches, faults, shape,
        any(each.reads_attributes for each in found), any(each.reads_shown for each in found),
    )  # fmt: skip
