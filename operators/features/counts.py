"""Counts, rates between counts, and histograms."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from operators.contract import Dtype
from operators.features.expressions import Expression, check
from operators.features.feature import Column, Composed, each
from schemas.errors import FeatureError

ONE = Expression("1", "int", lambda s: 1)


@dataclass(frozen=True, eq=False)
class Count(Composed):
    """The number of events: int64; under decay the sum of their weights, float64."""

    weighted: ClassVar[bool] = True

    @classmethod
    def family(cls) -> str:
        return "Count"

    def value(self) -> Expression:
        return ONE

    def accumulator(self) -> Any:
        return float if self.scope.decays else int

    def columns(self) -> Sequence[Column]:
        return (Column("", "float64" if self.scope.decays else "int64", "number of events"),)

    def zero(self) -> Any:
        return 0.0 if self.scope.decays else 0

    def add(self, acc: int, value: int) -> int:
        return acc + 1

    def add_weighted(self, acc: float, value: int, weight: float) -> float:
        return acc + weight

    def scale(self, acc: float, factor: float) -> float:
        return acc * factor

    def merge(self, acc: int, other: int) -> int:
        return acc + other

    def merged(self, found: list[int]) -> int:
        return sum(found)

    def finalize(self, acc: float, at: int) -> tuple[float]:
        return (acc,)

    def accumulator_bytes(self, text: int) -> int:
        return 9


@dataclass(frozen=True, eq=False, kw_only=True)
class Rate(Composed):
    """(top + prior[0]) / (bottom + prior[1]): the ratio of `top` events to `bottom` events, smoothed towards
    prior[0] / prior[1] as if `prior` had been counted before (the mean of a Beta posterior). float64.

    `top` and `bottom` are filters; an event that passes both counts in both.
    """

    top: Expression
    bottom: Expression
    prior: tuple[float, float]
    events: Expression = field(init=False)
    weighted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("top", "bottom"):
            check(getattr(self, name), ("flag",), f"{self.name}: {name}")
        if not (len(self.prior) == 2 and self.prior[0] >= 0 and self.prior[1] > 0):
            raise FeatureError(f"{self.name}: a prior is (top, bottom) with top of 0 or more and bottom above 0")
        self._set("events", self.top | self.bottom)
        super().__post_init__()

    def value(self) -> Expression:
        top, bottom = self.top.read, self.bottom.read
        return Expression(
            f"rate({self.top}, {self.bottom})",
            "int",
            lambda s: (1 if top(s) else 0, 1 if bottom(s) else 0),
            self.top.fields + self.bottom.fields,
        )

    def accumulator(self) -> Any:
        return tuple[float, float] if self.scope.decays else tuple[int, int]

    def value_type(self) -> Any:
        return tuple[int, int]

    def columns(self) -> Sequence[Column]:
        a, b = self.prior
        return (Column("", "float64", f"({self.top} + {a:g}) / ({self.bottom} + {b:g})"),)

    def zero(self) -> tuple[float, float]:
        return (0, 0)

    def add(self, acc: tuple[int, int], value: tuple[int, int]) -> tuple[int, int]:
        return acc[0] + value[0], acc[1] + value[1]

    def add_weighted(self, acc: tuple[float, float], value: tuple[int, int], weight: float) -> tuple[float, float]:
        return acc[0] + value[0] * weight, acc[1] + value[1] * weight

    def scale(self, acc: tuple[float, float], factor: float) -> tuple[float, float]:
        return acc[0] * factor, acc[1] * factor

    def merge(self, acc: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
        return acc[0] + other[0], acc[1] + other[1]

    def finalize(self, acc: tuple[float, float], at: int) -> tuple[float]:
        return ((acc[0] + self.prior[0]) / (acc[1] + self.prior[1]),)

    def accumulator_bytes(self, text: int) -> int:
        return 19

    def value_bytes(self, text: int) -> int:
        return 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Histogram(Composed):
    """The number of events in each bucket of a value: int64[] (float32[] under decay), in the order of the buckets.

    `buckets` are names, and other values are ignored; or n rising edges, which make n + 1 buckets: below the first,
    from each edge (inclusive) to the next, and from the last on.
    """

    of: Expression
    buckets: tuple[str, ...] | tuple[float, ...]
    weighted: ClassVar[bool] = True
    _of_names: bool = field(init=False, repr=False)
    _place: dict[Any, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check(self.of, ("text", "texts", "int", "number"), f"{self.name}: of")
        self._set("_of_names", self.of.kind in ("text", "texts"))
        self._set("_place", {bucket: place for place, bucket in enumerate(self.buckets)})
        kinds = {isinstance(bucket, str) for bucket in self.buckets}
        if not self.buckets or kinds != {self._of_names} or len(self._place) != len(self.buckets):
            raise FeatureError(f"{self.name}: buckets are different names for a text, or edges for a number")
        if not self._of_names and list(self.buckets) != sorted(self.buckets):
            raise FeatureError(f"{self.name}: edges rise")
        super().__post_init__()

    def layout(self) -> tuple[Any, ...]:
        return (self.buckets,)

    def value(self) -> Expression:
        return each(self.of) if self._of_names else self.of

    def accumulator(self) -> Any:
        return list[float] if self.scope.decays else list[int]

    def value_type(self) -> Any:
        return tuple[str, ...] if self._of_names else float

    def columns(self) -> Sequence[Column]:
        dtype: Dtype = "float32[]" if self.scope.decays else "int64[]"
        return (Column("", dtype, f"events by {self.of}: {', '.join(map(str, self.buckets))}"),)

    def zero(self) -> list[float]:
        return [0] * (len(self.buckets) + (not self._of_names))

    def add_weighted(self, acc: list[float], value: Any, weight: float) -> list[float]:
        if self._of_names:
            for name in value:
                place = self._place.get(name)
                if place is not None:
                    acc[place] += weight
        else:
            acc[bisect_right(self.buckets, value)] += weight
        return acc

    def scale(self, acc: list[float], factor: float) -> list[float]:
        return [count * factor for count in acc]

    def merge(self, acc: list[float], other: list[float]) -> list[float]:
        return [a + b for a, b in zip(acc, other, strict=True)]

    def finalize(self, acc: list[float], at: int) -> tuple[list[float]]:
        return (list(acc),)

    def accumulator_bytes(self, text: int) -> int:
        return 3 + 9 * (len(self.buckets) + 1)
