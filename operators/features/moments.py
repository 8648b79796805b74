"""Sum, mean, standard deviation, minimum and maximum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from operators.features.expressions import Expression, check
from operators.features.feature import Column, Composed

Pair: TypeAlias = tuple[float, float]
Triple: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class _OfNumbers(Composed):
    """A family over a number of each event that has one. float64; `default` where no event has."""

    of: Expression
    default: float = 0.0

    def value(self) -> Expression:
        return check(self.of, ("int", "number"), f"{self.name}: of")

    def value_type(self) -> Any:
        return float

    def columns(self) -> Sequence[Column]:
        return (Column("", "float64", f"{type(self).__name__} of {self.of}"),)


@dataclass(frozen=True, eq=False, kw_only=True)
class _OfSum(_OfNumbers):
    """Accumulates (weight, weighted sum), so that a sum and a mean of one value share a state."""

    weighted: ClassVar[bool] = True

    @classmethod
    def family(cls) -> str:
        return "Sum"

    def accumulator(self) -> Any:
        return Pair

    def zero(self) -> Pair:
        return (0.0, 0.0)

    def add(self, acc: Pair, value: float) -> Pair:
        return acc[0] + 1, acc[1] + value

    def add_weighted(self, acc: Pair, value: float, weight: float) -> Pair:
        return acc[0] + weight, acc[1] + value * weight

    def scale(self, acc: Pair, factor: float) -> Pair:
        return acc[0] * factor, acc[1] * factor

    def merge(self, acc: Pair, other: Pair) -> Pair:
        return acc[0] + other[0], acc[1] + other[1]

    def accumulator_bytes(self, text: int) -> int:
        return 19


@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(_OfSum):
    """The sum of the values. With `of=event.event_type.map({...})`, a weighted count of events."""

    def finalize(self, acc: Pair, at: int) -> tuple[float]:
        return (acc[1] if acc[0] else self.default,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Mean(_OfSum):
    """The mean of the values."""

    scale_free: ClassVar[bool] = True

    def finalize(self, acc: Pair, at: int) -> tuple[float]:
        return (acc[1] / acc[0] if acc[0] else self.default,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Std(_OfNumbers):
    """The standard deviation of the values: the population's, √(Σ w (x - mean)² / Σ w).

    (weight, mean, Σ w (x - mean)²) as values come by West (CACM 1979), merged by Chan, Golub and LeVeque (1979):
    nothing cancels where the values are large and alike.
    """

    weighted: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True

    def accumulator(self) -> Any:
        return Triple

    def zero(self) -> Triple:
        return (0.0, 0.0, 0.0)

    def add_weighted(self, acc: Triple, value: float, weight: float) -> Triple:
        n, mean, m2 = acc
        total = n + weight
        if not total:
            return acc
        away = value - mean
        mean += away * weight / total
        return total, mean, m2 + weight * away * (value - mean)

    def scale(self, acc: Triple, factor: float) -> Triple:
        return acc[0] * factor, acc[1], acc[2] * factor

    def merge(self, acc: Triple, other: Triple) -> Triple:
        total = acc[0] + other[0]
        if not total:
            return acc
        away = other[1] - acc[1]
        mean = acc[1] + away * other[0] / total
        return total, mean, acc[2] + other[2] + away * away * acc[0] * other[0] / total

    def finalize(self, acc: Triple, at: int) -> tuple[float]:
        return (math.sqrt(max(acc[2] / acc[0], 0.0)) if acc[0] else self.default,)

    def accumulator_bytes(self, text: int) -> int:
        return 28


@dataclass(frozen=True, eq=False, kw_only=True)
class _Extreme(_OfNumbers):
    """The base of the extremes."""

    def accumulator(self) -> Any:
        return float | None

    def zero(self) -> float | None:
        return None

    def merge(self, acc: float | None, other: float | None) -> float | None:
        return acc if other is None else self.add(acc, other)

    def finalize(self, acc: float | None, at: int) -> tuple[float]:
        return (self.default if acc is None else acc,)

    def accumulator_bytes(self, text: int) -> int:
        return 9


@dataclass(frozen=True, eq=False, kw_only=True)
class Min(_Extreme):
    """The smallest value."""

    def add(self, acc: float | None, value: float) -> float:
        return value if acc is None or value < acc else acc


@dataclass(frozen=True, eq=False, kw_only=True)
class Max(_Extreme):
    """The largest value."""

    def add(self, acc: float | None, value: float) -> float:
        return value if acc is None or value > acc else acc
