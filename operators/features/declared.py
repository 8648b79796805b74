"""Runs declared features inside the operator that owns the key, so that an event crosses into Python once for all.

    record ─► operator ─► signals ─┬─► features of entities with this key (user, and user × category)
         └──► attribution          └─► listeners: items, sessions, categories …, by their own keys

The operator's own parts keep their names. The part of an entity is named NUL entity NUL second key, with an empty
second key where the entity is not a pair; the parts of attribution and of short-lived ids have names of the same form
that no entity can have. These two take the record itself, after the operator has accepted it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from operators.attribution import Attribution
from operators.bandit_counts import NO_INTERACTIONS
from operators.contract import MARK as MARK
from operators.contract import WITHDRAWN, Cells, Operator, Record, Row, Signal, owner
from operators.features.entity import Entity
from operators.features.entity_operator import EntityOperator
from operators.features.short_lived import ShortLivedIds
from schemas.events import LabelledExample

PARTS_KEPT = 20_000
"""names of parts whose operators are cached"""


def part_of(entity: str, second: str = "") -> str:
    """The name of the part with an entity's features."""
    return f"{MARK}{entity}{MARK}{second}"


class WithFeatures:
    """`operator`, `own` and `attribution`, which are keyed alike, as one operator."""

    def __init__(
        self,
        operator: Operator[Any],
        own: Sequence[EntityOperator],
        others: Sequence[Entity] = (),
        attribution: Attribution | None = None,
    ) -> None:
        """`others` are entities with other keys, whose features take this operator's signals downstream."""
        self.name = operator.name
        self.applies_own_signals = bool(own)
        self._operator = operator
        self._features = {found.name: found for found in own}
        self._own: dict[str, Operator[Any]] = {**self._features}
        self._others = others
        after: list[Operator[Any]] = [attribution] if attribution else []
        if short_lived := [entity.keys[0].fields[0] for entity in others if entity.short_lived]:
            after.append(ShortLivedIds(short_lived))
        self._own |= {found.name: found for found in after}
        self._after = tuple(part_of(found.name) for found in after)
        self.owners: Collection[str] = ("", *self._own)
        self._of = lru_cache(PARTS_KEPT)(self._find)  # looked up seven times for each part of an event

    def parts(self, key: str, record: Record) -> tuple[str, ...]:
        found = self._operator.parts(key, record)
        if type(record.event) is not Signal:
            return found + self._after
        if not self._features or record.event.event_type in NO_INTERACTIONS:  # no interactions of their own
            return found
        return found + tuple(
            part_of(name, second) for name, operator in self._features.items() for second in operator.parts(key, record)
        )

    def on_event(self, part: str, state: Any, record: Record) -> list[Signal] | None:
        operator, second = self._of(part)
        return operator.on_event(second, state, record)

    def withholds(self, states: Mapping[str, Any]) -> bool:
        return self._operator.withholds(states)

    def dropped(self, key: str, states: Mapping[str, Any], record: Record | None = None) -> Collection[str]:
        event = record.event if record else None
        if type(event) is not Signal:
            return self._operator.dropped(key, states, record)
        entities = [of.entity for of in self._features.values() if of.entity.short_lived]
        gone = {entity.name for entity in entities if entity.keys[0].read(event) == key}
        return [part for part in states if owner(part) in gone]

    def listeners(self, signal: Signal) -> Iterable[str]:
        if signal.event_type == WITHDRAWN:
            keys = (entity.keys[0].read(signal) for entity in self._others if entity.short_lived)
            return dict.fromkeys(key for key in keys if key)
        if not self._others:
            return self._operator.listeners(signal)
        found = dict.fromkeys(self._operator.listeners(signal))
        if signal.event_type in NO_INTERACTIONS:
            return found
        for entity in self._others:
            found |= dict.fromkeys(keys[0] for keys in entity.keys_of(signal))
        return found

    def new(self, part: str = "") -> Any:
        operator, second = self._of(part)
        return operator.new(second)

    def encode(self, part: str, state: Any) -> Cells:
        operator, second = self._of(part)
        return operator.encode(second, state)

    def decode(self, part: str, cells: Cells) -> Any:
        operator, second = self._of(part)
        return operator.decode(second, cells)

    def adopt(self, part: str, state: Any, backfilled: Cells, saved: Cells | None) -> None:
        operator, second = self._of(part)
        operator.adopt(second, state, backfilled, saved)

    def refuse(self, part: str, state: Any, record: Record) -> bool:
        operator, second = self._of(part)
        return operator.refuse(second, state, record)

    def watermark(self, state: Any) -> int:
        return int(state.watermark)

    def row(self, key: str, part: str, state: Any, at: int, cells: Cells | None = None) -> Row:
        operator, second = self._of(part)
        return operator.row(key, second, state, at, cells)

    def on_timer(self, part: str, state: Any, at: int) -> Sequence[LabelledExample]:
        operator, second = self._of(part)
        return operator.on_timer(second, state, at)

    def due(self, part: str, state: Any, at: int) -> int | None:
        operator, second = self._of(part)
        return operator.due(second, state, at)

    def over(self, part: str, state: Any, at: int) -> bool:
        operator, second = self._of(part)
        return operator.over(second, state, at)

    def _find(self, part: str) -> tuple[Operator[Any], str]:
        if not part.startswith(MARK):
            return self._operator, part
        _, name, second = part.split(MARK, 2)
        return self._own[name], second
