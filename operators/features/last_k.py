"""The last k values, combinations of values and interactions, and the set of values met."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Any

from operators.contract import Signal
from operators.features.expressions import Expression, check
from operators.features.feature import EMPTY, LIST_DTYPES, TYPES, Column, Composed
from operators.features.fields import INTERACTIONS, event
from operators.features.recency import not_of_last
from schemas.errors import FeatureError


@dataclass(frozen=True, eq=False, kw_only=True)
class LastK(Composed):
    """The last `k` values, newest first: one list for each field of `of`, aligned by event.

    One field makes the list `<name>`; several make `<name>_<field>` each, with "" or 0 for missing values. With
    `distinct`, a value (or a combination of several) is kept once, at its latest time. A list-valued field gives each
    element.
    """

    of: Expression | tuple[Expression, ...]
    k: int
    distinct: bool = False
    _parts: tuple[Expression, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = self.of if isinstance(self.of, tuple) else (self.of,)
        several = len(parts) > 1
        kinds = ("text", "int", "number", "flag") if several else ("text", "texts", "int", "number", "flag")
        for part in parts:
            check(part, kinds, f"{self.name}: of")  # type: ignore[arg-type]
        self._set("_parts", parts)
        if not 1 <= self.k <= 10_000:
            raise FeatureError(f"{self.name}: k is {self.k}; from 1 to 10,000 is possible")
        super().__post_init__()

    def check(self) -> None:
        not_of_last(self, "it keeps k events itself: leave the window out")

    @classmethod
    def family(cls) -> str:
        return "LastK"

    def layout(self) -> tuple[Any, ...]:
        return self.k, self.distinct

    def value(self) -> Expression:
        parts = self._parts
        text = f"last({', '.join(map(repr, parts))})"
        fields = ("timestamp", *(f for part in parts for f in part.fields))
        if len(parts) == 1:
            read, many = parts[0].read, parts[0].kind == "texts"

            def one(s: Signal) -> Any:
                value = read(s)
                return None if value is None else (s.timestamp, tuple(value) if many else (value,))

            return Expression(text, parts[0].kind, one, fields)
        reads = [(part.read, EMPTY[part.kind]) for part in parts]

        def several(s: Signal) -> Any:
            found = tuple([read(s) for read, _ in reads])
            if None in found:
                found = tuple([empty if v is None else v for v, (_, empty) in zip(found, reads, strict=True)])
            return s.timestamp, (found,)

        return Expression(text, "text", several, fields)

    def _one(self) -> Any:
        types = [str if part.kind == "texts" else TYPES[part.kind] for part in self._parts]
        return types[0] if len(types) == 1 else tuple[tuple(types)]  # type: ignore[misc]

    def value_type(self) -> Any:
        return tuple[int, tuple[self._one(), ...]]  # type: ignore[misc]

    def accumulator(self) -> Any:
        one = self._one()
        return dict[one, int] if self.distinct else list[tuple[int, one]]  # type: ignore[valid-type]

    def suffixes(self) -> tuple[str, ...]:
        """The suffix of each field's name."""
        return tuple(f"_{part.fields[0].split('.')[-1]}" for part in self._parts) if len(self._parts) > 1 else ("",)

    def columns(self) -> list[Column]:
        return [
            Column(suffix, LIST_DTYPES[part.kind], f"last {self.k} {part}, newest first")
            for suffix, part in zip(self.suffixes(), self._parts, strict=True)
        ]

    def zero(self) -> Any:
        return {} if self.distinct else []

    def add(self, acc: Any, value: tuple[int, tuple[Any, ...]]) -> Any:
        at, found = value
        for one in found:
            if self.distinct:
                self._touch(acc, at, one)
            elif not acc or (at, one) >= acc[-1]:
                acc.append((at, one))
            else:
                insort(acc, (at, one))
        excess = len(acc) - self.k
        if excess > 0:
            if self.distinct:
                for old in list(acc)[:excess]:
                    del acc[old]
            else:
                del acc[:excess]
        return acc

    def _touch(self, acc: dict[Any, int], at: int, one: Any) -> None:
        """Keeps the values in the order of (time, value), so that the first is the next to drop."""
        if acc.get(one, at) > at:
            return
        acc.pop(one, None)
        late = False
        if acc:
            newest = next(reversed(acc))
            late = (acc[newest], newest) > (at, one)
        acc[one] = at
        if late:
            ordered = sorted(acc.items(), key=lambda pair: (pair[1], pair[0]))
            acc.clear()
            acc.update(ordered)

    def merge(self, acc: Any, other: Any) -> Any:
        for at, one in [(at, one) for one, at in other.items()] if self.distinct else other:
            acc = self.add(acc, (at, (one,)))
        return acc

    def finalize(self, acc: Any, at: int) -> tuple[list[Any], ...]:
        newest = list(reversed(acc)) if self.distinct else [one for _, one in reversed(acc)]
        if len(self._parts) == 1:
            return (newest,)
        return tuple([one[place] for one in newest] for place in range(len(self._parts)))

    def accumulator_bytes(self, text: int) -> int:
        one = sum(text + 2 if part.kind in ("text", "texts") else 9 for part in self._parts)
        return 5 + self.k * (11 + one)

    def value_bytes(self, text: int) -> int:
        return 9 + (64 if self._parts[0].kind == "texts" else 1) * (text + 11)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sequence(LastK):
    """The last `k` interactions with items, newest first: `<name>_items`, `<name>_types` and `<name>_times`.

    By default events without an item are ignored. An `events` filter that passes them gives them the item "".
    """

    events: Expression = INTERACTIONS & event.item_id.exists()
    of: Expression | tuple[Expression, ...] = field(
        init=False, default=(event.item_id, event.event_type, event.timestamp)
    )

    def suffixes(self) -> tuple[str, ...]:
        return "_items", "_types", "_times"


@dataclass(frozen=True, eq=False, kw_only=True)
class InteractedWith(LastK):
    """The set of an item field's values that the key interacted with, such as brands: string[], the `k` most recent,
    latest first."""

    k: int = 1000
    distinct: bool = field(init=False, default=True)
