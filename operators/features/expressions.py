"""Expressions over an event: features filter by them, aggregate them and are keyed by them.

    click = event.event_type == "click"
    dear = (event.properties.price > 50) & ~event.item.categories.contains("toys")
    spent = event.properties.price * event.properties.quantity.fill(1)

A comparison that can never hold is a FeatureError at its declaration. A field without a value in an event is missing:
a comparison with it is false, and a calculation with it is missing too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from operator import add, eq, ge, gt, le, lt, mul, ne, sub, truediv
from typing import Any, Literal, TypeAlias

from operators.contract import Signal
from operators.gate import IMPRESSION
from schemas.errors import FeatureError
from schemas.events import EVENT_TYPES, NO_BEHAVIOUR

Kind: TypeAlias = Literal["text", "texts", "int", "number", "flag"]
Read: TypeAlias = Callable[[Signal], Any]
Decide: TypeAlias = Callable[[str], bool | None]

KINDS: dict[type, Kind] = {str: "text", list: "texts", int: "int", float: "number", bool: "flag"}
TYPES_OF_EVENTS = (*EVENT_TYPES, *sorted(NO_BEHAVIOUR), IMPRESSION)


def undecided(event_type: str) -> bool | None:
    return None


class Expression:
    """A value of an event. Its repr is its meaning: expressions of equal repr are evaluated once."""

    __slots__ = ("_text", "decide", "fields", "kind", "read")

    def __init__(
        self, text: str, kind: Kind, read: Read, fields: Iterable[str] = (), decide: Decide = undecided
    ) -> None:
        """`read` returns the value or None; `fields` are the paths that it reads; `decide` returns a flag's value for
        all events of a type, or None where the type alone does not decide it."""
        self._text, self.kind, self.read = text, kind, read
        self.fields = tuple(dict.fromkeys(fields))
        self.decide = decide

    def __repr__(self) -> str:
        return self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        raise FeatureError(f"{self} has no value yet: join filters with &, | and ~ instead of and, or and not")

    # -- comparisons ---------------------------------------------------------------------------

    def __eq__(self, other: Any) -> Expression:  # type: ignore[override]
        return self._compare("==", eq, other)

    def __ne__(self, other: Any) -> Expression:  # type: ignore[override]
        return self._compare("!=", ne, other)

    def __lt__(self, other: Any) -> Expression:
        return self._compare("<", lt, other)

    def __le__(self, other: Any) -> Expression:
        return self._compare("<=", le, other)

    def __gt__(self, other: Any) -> Expression:
        return self._compare(">", gt, other)

    def __ge__(self, other: Any) -> Expression:
        return self._compare(">=", ge, other)

    def isin(self, values: Iterable[Any]) -> Expression:
        """Whether the value is one of these."""
        wanted = tuple(values)
        for value in wanted:
            self._comparable("==", value)
        chosen, read = frozenset(wanted), self.read
        decide = (lambda t: t in chosen) if self._is_type else undecided
        return Expression(f"{self}.isin({sorted(chosen)!r})", "flag", lambda s: read(s) in chosen, self.fields, decide)

    def contains(self, value: str) -> Expression:
        """Whether a list-valued field has this element."""
        if self.kind != "texts":
            raise FeatureError(f"{self} holds one value ({self.kind}): compare with ==")
        read = self.read
        return Expression(f"{self}.contains({value!r})", "flag", lambda s: value in (read(s) or ()), self.fields)

    def exists(self) -> Expression:
        """Whether the event has a value here."""
        read = self.read
        return Expression(f"{self}.exists()", "flag", lambda s: read(s) is not None, self.fields)

    # -- logic ---------------------------------------------------------------------------------

    def __and__(self, other: Expression) -> Expression:
        a, b = _condition("&", self), _condition("&", other)

        def decide(t: str) -> bool | None:
            known = (self.decide(t), other.decide(t))
            return False if False in known else None if None in known else True

        return Expression(f"({self} & {other})", "flag", lambda s: a(s) and b(s), self.fields + other.fields, decide)

    def __or__(self, other: Expression) -> Expression:
        a, b = _condition("|", self), _condition("|", other)

        def decide(t: str) -> bool | None:
            known = (self.decide(t), other.decide(t))
            return True if True in known else None if None in known else False

        return Expression(f"({self} | {other})", "flag", lambda s: a(s) or b(s), self.fields + other.fields, decide)

    def __invert__(self) -> Expression:
        read = _condition("~", self)

        def decide(t: str) -> bool | None:
            known = self.decide(t)
            return None if known is None else not known

        return Expression(f"~{self}", "flag", lambda s: not read(s), self.fields, decide)

    # -- values --------------------------------------------------------------------------------

    def __add__(self, other: Expression | float) -> Expression:
        return self._calculate("+", add, other)

    def __sub__(self, other: Expression | float) -> Expression:
        return self._calculate("-", sub, other)

    def __mul__(self, other: Expression | float) -> Expression:
        return self._calculate("*", mul, other)

    def __truediv__(self, other: Expression | float) -> Expression:
        return self._calculate("/", truediv, other)

    def fill(self, value: Any) -> Expression:
        """`value` where the event has none."""
        self._comparable("==", value)
        read = self.read
        return Expression(
            f"{self}.fill({value!r})", self.kind, lambda s: value if (v := read(s)) is None else v, self.fields
        )

    def map(self, values: Mapping[str, float]) -> Expression:
        """A number for each text, such as a weight for each event type; missing for any other."""
        for name in values:
            self._comparable("==", name)
        found, read = {name: float(value) for name, value in values.items()}, self.read
        return Expression(f"{self}.map({sorted(found.items())!r})", "number", lambda s: found.get(read(s)), self.fields)

    # -- checks --------------------------------------------------------------------------------

    @property
    def _is_type(self) -> bool:
        return self._text == "event.event_type"

    def _comparable(self, symbol: str, value: Any) -> None:
        kind = value.kind if isinstance(value, Expression) else KINDS.get(type(value))
        numbers = ("int", "number")
        if self.kind == "texts":
            raise FeatureError(f"{self} is a list: ask whether it .contains() a value")
        if not (kind == self.kind or (kind in numbers and self.kind in numbers)):
            raise FeatureError(f"{self} is {self.kind} and never compares with {value!r}")
        if symbol not in ("==", "!=") and self.kind not in numbers:
            raise FeatureError(f"{self} is {self.kind}, which has no {symbol}")
        if self._is_type and isinstance(value, str) and value not in TYPES_OF_EVENTS:
            raise FeatureError(f"there is no event_type {value!r}{nearest(value, TYPES_OF_EVENTS)}")

    def _compare(self, symbol: str, test: Callable[[Any, Any], Any], other: Any) -> Expression:
        self._comparable(symbol, other)
        a, text = self.read, f"({self} {symbol} {other!r})"
        if isinstance(other, Expression):
            b = other.read

            def both(s: Signal) -> bool:
                x, y = a(s), b(s)
                return x is not None and y is not None and test(x, y)

            return Expression(text, "flag", both, self.fields + other.fields)
        decide = (lambda t: bool(test(t, other))) if self._is_type else undecided
        if symbol == "==":
            return Expression(text, "flag", lambda s: a(s) == other, self.fields, decide)
        return Expression(text, "flag", lambda s: (v := a(s)) is not None and bool(test(v, other)), self.fields, decide)

    def _calculate(self, symbol: str, apply: Callable[[float, Any], float], other: Expression | float) -> Expression:
        for part in (self, other):
            if (part.kind if isinstance(part, Expression) else KINDS.get(type(part))) not in ("int", "number"):
                raise FeatureError(f"{symbol} needs numbers, and {part!r} is none")
        a = self.read
        b: Read = other.read if isinstance(other, Expression) else lambda s: other
        fields = self.fields + (other.fields if isinstance(other, Expression) else ())

        def read(s: Signal) -> float | None:
            x, y = a(s), b(s)
            if x is None or y is None or (symbol == "/" and not y):
                return None
            found = apply(float(x), y)
            return found if math.isfinite(found) else None

        return Expression(f"({self} {symbol} {other!r})", "number", read, fields)


def _condition(symbol: str, value: Any) -> Read:
    if not isinstance(value, Expression) or value.kind != "flag":
        raise FeatureError(f"{symbol} joins conditions, and {value!r} is none; write comparisons in brackets")
    return value.read


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" with the known name that is most like `name`; all of them where none is like it."""
    names = sorted(known)
    found = get_close_matches(name, names, 1)
    return f"; did you mean {found[0]}?" if found else f"; there are {', '.join(names)}"


def check(value: Any, kinds: tuple[Kind, ...], what: str) -> Expression:
    """The expression, if it is one of these kinds. Raises FeatureError."""
    if not isinstance(value, Expression):
        raise FeatureError(f"{what} is {value!r}, where an expression over the event's fields is needed")
    if value.kind not in kinds:
        raise FeatureError(f"{what} needs {' or '.join(kinds)}, and {value} is {value.kind}")
    return value
