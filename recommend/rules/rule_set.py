"""All rules of a moment as one value: a request takes it once, so that no rule is ever half in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache

from feature_repo.columns import ItemColumns
from recommend.filtering import ItemFilters, RequestValues
from recommend.rules.compiled import CompiledRule, compiled
from recommend.rules.matches import Matches, Test
from recommend.rules.ruling import PlacedRule, Ruling
from schemas.errors import InvalidEvent
from schemas.rules import Rule

SURFACES = 64
"""whose rules are kept apart"""


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
    _by_surface: LRUCache[str, tuple[PlacedRule, ...]] = field(default_factory=lambda: LRUCache(SURFACES))

    def ruling(self, surface: str, request: RequestValues) -> Ruling:
        """The rules in force for a request. Never raises: a rule whose condition fails is skipped, and named."""
        found = self._by_surface.get(surface)
        if found is None:
            found = tuple(each for each in self.rules if not each.rule.surfaces or surface in each.rule.surfaces)
            self._by_surface[surface] = found
        return Ruling(found, self.matches, request)


NO_RULES = RuleSet()


def no_rules() -> RuleSet:
    """None at all: what a replay and a training apply."""
    return NO_RULES


def compile_all(rules: Mapping[str, Rule], columns: ItemColumns, filters: ItemFilters) -> RuleSet:
    """The rules that are enabled, by name, over the columns; those that do not fit stand in `faults`."""
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
    matches = Matches(columns, list(places)) if places else None
    return RuleSet(tuple(placed), matches, faults, shape, any(each.reads_attributes for each in found))
