"""Rules of merchandisers: what people write as JSON, and the record of a change in the topic `rules`.

A rule is one struct a kind, tagged by `kind`; unknown fields are errors. Filters in a rule are texts of the filter
language (recommend/filtering), which are checked where the attributes of items are known.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct, ValidationError, field

from schemas.errors import InvalidEvent
from schemas.events import Date, Id, Name
from schemas.faults import field_of

MOST_RULES = 1_000
"""rules that exist at once"""
MOST_ITEMS = 500
"""ids of items in one rule"""
MOST_FILTER = 2_000
"""characters of a filter, as in a request"""
MOST_RULE_BYTES = 48 << 10
"""of one rule as JSON"""
HISTORY = 50
"""changes of a rule that are kept with it"""
HISTORY_BYTES = 128 << 10
"""of them together; the oldest are dropped first, the latest never"""
LAST_POSITION = 199
"""an answer has at most 200 items"""

Filter: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MOST_FILTER)]
NAME_OF_RULE = r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)"
RuleName: TypeAlias = Annotated[str, Meta(pattern=NAME_OF_RULE)]
Items: TypeAlias = Annotated[list[Id], Meta(min_length=1, max_length=MOST_ITEMS)]
Context: TypeAlias = Annotated[list[Name], Meta(max_length=64)]
Position: TypeAlias = Annotated[int, Meta(ge=0, le=LAST_POSITION)]
Places: TypeAlias = Annotated[int, Meta(ge=1, le=10_000)]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Most: TypeAlias = Annotated[int, Meta(ge=1, le=200)]
Days: TypeAlias = Annotated[float, Meta(gt=0, le=3_650)]
AttributeName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f\"\\]+$(?!\n)")]

TIMES = ("from", "until")
IMPRESSION = "impression"
"""what a rule calls the showing of an item among types of events"""


class RuleBase(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """When a rule is in force."""

    surfaces: Context = []
    """names of surfaces; empty: all"""
    regions: Context = []
    devices: Context = []
    segment: Filter | None = None
    """a filter that reads the person and the request alone; people of whom an attribute is not known do not match"""
    starts: Date | None = field(default=None, name="from")
    """epoch ms, inclusive"""
    until: Date | None = None
    """epoch ms, exclusive"""
    priority: Annotated[int, Meta(ge=0, le=1_000)] = 0
    """of two rules that cannot both have their way, the one with the larger number has"""
    enabled: bool = True
    note: Annotated[str, Meta(max_length=500)] = ""


class ItemRule(RuleBase, frozen=True, kw_only=True, omit_defaults=True):
    """A rule about certain items: those of `items`, or those that pass `where`."""

    items: Items | None = None
    where: Filter | None = None


class Promote(ItemRule, frozen=True, kw_only=True, omit_defaults=True, tag="promote"):
    """Moves items up: by so many `places`, to the top where there is neither, or so that they are at least a `share` of
    every beginning of the list."""

    places: Places | None = None
    share: Share | None = None


class Bury(ItemRule, frozen=True, kw_only=True, omit_defaults=True, tag="bury"):
    """Moves items down: by so many `places`, or behind all others."""

    places: Places | None = None


class Hide(ItemRule, frozen=True, kw_only=True, omit_defaults=True, tag="hide"):
    """Removes items."""


class Pin(RuleBase, frozen=True, kw_only=True, omit_defaults=True, tag="pin"):
    """Puts an item at a position, counted from 0."""

    item_id: Id
    position: Position


class Sponsor(ItemRule, frozen=True, kw_only=True, omit_defaults=True, tag="sponsor"):
    """Gives positions to the best of certain items, which are marked with the label."""

    positions: Annotated[list[Position], Meta(min_length=1, max_length=20)]
    label: Annotated[str, Meta(min_length=1, max_length=60)] = "Sponsored"


class Cap(ItemRule, frozen=True, kw_only=True, omit_defaults=True, tag="cap"):
    """At most `most` items of one value of `by`, in an answer or in its first `first`. Without `by`, at most so many of
    the items that the rule is about; with both, only those items count."""

    most: Most
    by: AttributeName | None = None
    """brand, category, or the name of an attribute"""
    first: Most | None = None


class Dedupe(RuleBase, frozen=True, kw_only=True, omit_defaults=True, tag="dedupe"):
    """One item of each value of an attribute (a franchise, a product's variants): the best of them."""

    by: AttributeName


class AgeLimit(RuleBase, frozen=True, kw_only=True, omit_defaults=True, tag="age_limit"):
    """Removes items whose attribute is more than the person's age. Where the age is not known, or either is not a
    number, items that have the attribute are removed."""

    attribute: AttributeName
    age: AttributeName = "age"
    """the attribute of the person's profile"""


class RegionLimit(RuleBase, frozen=True, kw_only=True, omit_defaults=True, tag="region_limit"):
    """Removes items whose attribute, a region or a list of them, does not have the request's region. Where that is not
    known, items that have the attribute are removed."""

    attribute: AttributeName


class NotAgain(ItemRule, frozen=True, kw_only=True, omit_defaults=True, tag="not_again"):
    """Removes items that the person has met within so many days, as far as the recent events of the person's row go
    back; with the event IMPRESSION also those that the surface has shown them. About all items where there are neither
    `items` nor `where`."""

    days: Days
    events: Annotated[list[Name], Meta(max_length=16)] = []
    """types of events that count, IMPRESSION among them; empty: all but that"""


Rule: TypeAlias = Promote | Bury | Hide | Pin | Sponsor | Cap | Dedupe | AgeLimit | RegionLimit | NotAgain


class RuleChange(Struct, forbid_unknown_fields=True, frozen=True):
    """One record of the topic `rules`: the rule after a change, who made it and when, and what was before.

    A change is in force only where its version is larger than that of the one in force: of two that were made of the
    same version, the first in the topic is.
    """

    name: RuleName
    version: Annotated[int, Meta(ge=1)]
    by: Name
    at: Date
    rule: Annotated[str, Meta(max_length=4 * MOST_RULE_BYTES)] | None
    """JSON; None where the rule was deleted"""
    history: list[str] = []
    """JSON of the changes before (`PastChange`), the latest first"""

    @property
    def past(self) -> list[PastChange]:
        """The changes before. Raises msgspec.DecodeError where they cannot be read."""
        return [_past(text) for text in self.history]


class PastChange(Struct, frozen=True):
    """A change that another one has followed."""

    version: int
    by: str
    at: int
    rule: dict[str, Any] | None = None
    """the rule after it; None where it was deleted"""


_past = msgspec.json.Decoder(PastChange).decode


def change(before: RuleChange | None, name: str, rule: Rule | None, by: str, at: int) -> RuleChange:
    """The change that follows `before`."""
    if before is None:
        return RuleChange(name, 1, by, at, _text(rule))
    last = PastChange(before.version, before.by, before.at, msgspec.json.decode(before.rule) if before.rule else None)
    history = [msgspec.json.encode(last).decode(), *before.history][:HISTORY]
    while len(history) > 1 and sum(map(len, history)) > HISTORY_BYTES:
        history.pop()
    return RuleChange(name, before.version + 1, by, at, _text(rule), history)


def _text(rule: Rule | None) -> str | None:
    return None if rule is None else msgspec.json.encode(rule).decode()


def loads(text: str | bytes) -> Rule:
    """The rule in one JSON document. Raises InvalidEvent naming the field and the fix."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"not JSON: {error}") from None
    return parse(document)


def parse(document: Any) -> Rule:
    """The rule in one decoded JSON object; times are ISO 8601 or epoch milliseconds. Raises InvalidEvent."""
    if not isinstance(document, dict):
        raise InvalidEvent("a rule is a JSON object")
    if len(msgspec.json.encode(document)) > MOST_RULE_BYTES:
        raise InvalidEvent(f"a rule has at most {MOST_RULE_BYTES} bytes; name fewer items, or write a filter")
    fields = dict(document)
    for name in TIMES:
        if isinstance(fields.get(name), str):
            fields[name] = _millis(name, fields[name])
    try:
        rule: Rule = msgspec.convert(fields, Rule)
    except ValidationError as error:
        path, detail = field_of(error)
        if path == "kind" or "`kind`" in str(error):
            path, detail = "kind", f"must be one of: {', '.join(KINDS)}"
        raise InvalidEvent(detail.replace("this event", f"a rule of kind {fields.get('kind')}"), path) from None
    _check(rule)
    return rule


def _check(rule: Rule) -> None:
    """What types alone do not say."""
    if rule.starts is not None and rule.until is not None and rule.until <= rule.starts:
        raise InvalidEvent("must be later than from", "until")
    if isinstance(rule, ItemRule):
        if rule.items and rule.where:
            raise InvalidEvent("leave it out, or items: a rule is about the one or the other", "where")
        needed = not isinstance(rule, NotAgain) and not (isinstance(rule, Cap) and rule.by)
        if needed and not rule.items and not rule.where:
            raise InvalidEvent("is required, or items: which items the rule is about", "where")
    if isinstance(rule, Promote) and rule.places and rule.share:
        raise InvalidEvent("leave it out, or places: either moves the items up", "share")
    if isinstance(rule, Sponsor) and len(set(rule.positions)) < len(rule.positions):
        raise InvalidEvent("holds a position twice", "positions")


def _millis(name: str, text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
        return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidEvent("must be ISO 8601 or epoch milliseconds (a number, without quotes)", name) from None


RULE_TYPES: tuple[type[RuleBase], ...] = Rule.__args__
KINDS = tuple(str(kind.__struct_config__.tag) for kind in RULE_TYPES)
