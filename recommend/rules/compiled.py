"""One rule, checked against the attributes that items have now."""

from __future__ import annotations

from dataclasses import dataclass

from feature_repo.columns import ItemColumns
from recommend.filtering import FilterError, ItemFilter, ItemFilters
from recommend.rules.matches import NamedItems, Passing, Test
from schemas.errors import InvalidEvent
from schemas.rules import IMPRESSION, AgeLimit, Cap, Dedupe, ItemRule, NotAgain, Pin, RegionLimit, Rule

OF_ITEMS = ("brand", "category")
"""what items may be grouped by besides attributes"""


@dataclass(frozen=True, eq=False)
class CompiledRule:
    """A rule as it is applied. Both `test` and `condition` are None where it is about every item."""

    name: str
    rule: Rule
    segment: ItemFilter | None = None
    test: Test | None = None
    """which items it is about, where that does not depend on the request; of a limit, those with the attribute"""
    condition: ItemFilter | None = None
    """which items it is about, where that does; of a limit, those that may stay, None where none may"""

    @property
    def is_limit(self) -> bool:
        """Whether it is a policy, which fails closed."""
        return isinstance(self.rule, (AgeLimit, RegionLimit))

    @property
    def reads_shown(self) -> bool:
        """Whether it reads what the person was shown."""
        return isinstance(self.rule, NotAgain) and IMPRESSION in self.rule.events

    @property
    def reads_attributes(self) -> bool:
        """Whether it reads attributes of the person's profile."""
        filters = (self.segment, self.condition)
        return any(each is not None and each.of_attributes is not None for each in filters)


def compiled(name: str, rule: Rule, columns: ItemColumns, filters: ItemFilters) -> CompiledRule:
    """The rule over these columns. Raises InvalidEvent, which names the field and the place in it, where a filter
    cannot be read or an attribute is not known."""
    segment = None
    if rule.segment is not None:
        segment = _filter("segment", rule.segment, filters)
        if segment.of_item is not None:
            text = "a segment is of people, and reads no field of items; write that in where"
            raise InvalidEvent(f"character {segment.of_item + 1}: {text}", "segment")
    if isinstance(rule, AgeLimit):
        text = f'item.attributes["{rule.attribute}"] * 1 <= user.attributes["{rule.age}"] * 1'
        return _limit(name, rule, segment, text if "number" in _types(rule.attribute, columns) else None, filters)
    if isinstance(rule, RegionLimit):
        types = _types(rule.attribute, columns)
        attribute = f'item.attributes["{rule.attribute}"]'
        parts = [f"{attribute} == request.region"] if "string" in types else []
        parts += [f"request.region in {attribute}"] if "list" in types else []
        return _limit(name, rule, segment, " || ".join(parts) or None, filters)
    if isinstance(rule, (Cap, Dedupe)) and rule.by is not None and rule.by not in OF_ITEMS:
        _types(rule.by, columns, "by")
    if isinstance(rule, Pin):
        return CompiledRule(name, rule, segment, NamedItems(frozenset([rule.item_id])))
    if isinstance(rule, ItemRule) and rule.items:
        return CompiledRule(name, rule, segment, NamedItems(frozenset(rule.items)))
    if isinstance(rule, ItemRule) and rule.where:
        where = _filter("where", rule.where, filters)
        if where.is_of_items_alone:
            return CompiledRule(name, rule, segment, Passing(where))
        return CompiledRule(name, rule, segment, condition=where)
    return CompiledRule(name, rule, segment)


def _limit(name: str, rule: Rule, segment: ItemFilter | None, text: str | None, filters: ItemFilters) -> CompiledRule:
    assert isinstance(rule, (AgeLimit, RegionLimit))
    has = Passing(_filter("attribute", f'has(item.attributes["{rule.attribute}"])', filters))
    return CompiledRule(name, rule, segment, has, _filter("attribute", text, filters) if text else None)


def _types(name: str, columns: ItemColumns, field: str = "attribute") -> tuple[str, ...]:
    """The types that items give the attribute. Raises InvalidEvent where no item has it."""
    types = columns.filterable.types(name)
    if not types:
        known = sorted(columns.filterable.names)[:20]
        more = f"brand, category and {', '.join(known)}" if field == "by" else ", ".join(known)
        raise InvalidEvent(f"no item has the attribute {name[:100]!r}; there are {more or 'none'}", field)
    return types


def _filter(field: str, text: str, filters: ItemFilters) -> ItemFilter:
    try:
        return filters.compile(text)
    except FilterError as error:
        raise InvalidEvent(str(error), field) from None
