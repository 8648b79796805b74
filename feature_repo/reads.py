"""The inputs of crosses, by where they are stored: a person's row, rows of pairs, item columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from feature_repo.value import ITEM, USER, Value


class Reader(Protocol):
    """Anything that reads fields of declared features and attributes of items: a cross."""

    @property
    def values(self) -> tuple[Value, ...]: ...

    @property
    def attributes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Reads:
    """Fields of declared features, each once, and attributes of items. Nothing else is read for crosses."""

    user: tuple[Value, ...] = ()
    pairs: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """view of a pair of a user and something of items → its values"""
    item: tuple[Value, ...] = ()
    attributes: tuple[str, ...] = ()

    @classmethod
    def of(cls, crosses: Iterable[Reader]) -> Reads:
        """The inputs of these crosses, in the order of their declaration."""
        crosses = tuple(crosses)
        values = {value.key: value for cross in crosses for value in cross.values}.values()
        by_keys: dict[tuple[str, ...], list[Value]] = {}
        pairs: dict[str, list[Value]] = {}
        for value in values:
            keys = tuple(str(key).removeprefix("event.") for key in value.entity.keys)
            by_keys.setdefault(keys, []).append(value)
            if len(keys) == 2:
                pairs.setdefault(value.entity.view, []).append(value)
        return cls(
            tuple(by_keys.get(USER, ())),
            {view: tuple(found) for view, found in pairs.items()},
            tuple(by_keys.get(ITEM, ())),
            tuple(dict.fromkeys(name for cross in crosses for name in cross.attributes)),
        )


NO_READS = Reads()
