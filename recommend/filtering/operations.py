"""What operators and functions compute, for values of the request and of rows alike."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recommend.filtering.values import Kind, Lists, Strings, Value

Join = Callable[[Value, Value], Value]
EQUALITY = ("==", "!=")
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.fmod,
}  # fmt: skip
TEXT: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith, "endsWith": str.endswith, "contains": operator.contains,
}  # fmt: skip


def compare(sign: str, a: Value, b: Value, kind: Kind) -> Value:
    """False where one of them is missing, also for `!=`."""
    if kind is Kind.STRING:
        return _equality(sign, a, b) if sign in EQUALITY else test_texts(COMPARE[sign], a, b)
    if kind is Kind.BOOLEAN:
        a, b = _number(a), _number(b)
    found = COMPARE[sign](a, b)
    if sign == "!=":  # NaN differs from everything
        found = found & (a == a) & (b == b)
    return found if isinstance(found, np.ndarray) else bool(found)


def _equality(sign: str, a: Value, b: Value) -> Value:
    if a is None or b is None:
        return False
    if isinstance(a, str) and isinstance(b, str):
        return COMPARE[sign](a, b)
    if isinstance(a, Strings) and isinstance(b, Strings):
        equal, present = a.equal(b), a.is_present & b.is_present
    else:
        strings, constant = (a, b) if isinstance(a, Strings) else (b, a)
        equal, present = strings.among([constant]), strings.is_present
    return equal if sign == "==" else present & ~equal


def _number(value: Value) -> Value:
    return value.astype(np.float32) if isinstance(value, np.ndarray) else float(value)


def calculate(sign: str, a: Value, b: Value) -> Value:
    """Missing where an operand is, where it is divided by zero, and where the result is too large."""
    with np.errstate(all="ignore"):
        found = ARITHMETIC[sign](a, b)
    if isinstance(found, np.ndarray):
        found[~np.isfinite(found)] = np.nan
        return found
    return float(found) if np.isfinite(found) else np.nan


def negate(a: Value) -> Value:
    return -a


def test_texts(test: Callable[[str, str], bool], a: Value, b: Value) -> Value:
    """A test of two strings; False where one of them is missing."""
    if a is None or b is None:
        return False
    if isinstance(a, str):
        if isinstance(b, str):
            return bool(test(a, b))
        return b.test(functools.partial(test, a))
    if isinstance(b, str):
        return a.test(test, b)
    pairs = zip(a.values(), b.values(), strict=True)
    return np.array([x is not None and y is not None and test(x, y) for x, y in pairs], bool)


def within(a: Value, among: Value, kind: Kind) -> Value:
    """Whether a list has `a`, of the kind; False where one of them is missing."""
    if a is None or among is None:
        return False
    if kind is Kind.NUMBER:
        numbers: Sequence[float] = among
        if not isinstance(a, np.ndarray):
            return a in numbers
        return np.isin(a, numbers) if numbers else np.zeros(len(a), bool)
    if isinstance(among, Lists):
        return among.have([a]) if isinstance(a, str) else among.have_own(a)
    return a in among if isinstance(a, str) else a.among(among)


def size(value: Value) -> Value:
    """Characters of a string, elements of a list."""
    if value is None:
        return np.nan
    if isinstance(value, Strings):
        return value.test(len, dtype=np.float64, missing=np.nan)
    if isinstance(value, Lists):
        lengths = value.lengths.astype(np.float64)
        lengths[lengths < 0] = np.nan
        return lengths
    return float(len(value))


def is_present(value: Value) -> Value:
    """Whether a value is not missing."""
    if value is None:
        return False
    if isinstance(value, Strings):
        return value.is_present
    if isinstance(value, Lists):
        return value.lengths >= 0
    if isinstance(value, np.ndarray):
        return np.ones(len(value), bool) if value.dtype == np.bool_ else ~np.isnan(value)
    return bool(value == value)


def both(a: Value, b: Value) -> Value:
    """a && b of booleans that are never missing."""
    if isinstance(a, bool):
        return b if a else False
    return (a if b else False) if isinstance(b, bool) else a & b


def either(a: Value, b: Value) -> Value:
    """a || b of booleans that are never missing."""
    if isinstance(a, bool):
        return True if a else b
    return (True if b else a) if isinstance(b, bool) else a | b


def opposite(a: Value) -> Value:
    """!a of a boolean that is never missing."""
    return not a if isinstance(a, bool) else ~a
