"""First and last values, and the time since the last event."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from operators.features.expressions import Expression, check
from operators.features.feature import DTYPES, EMPTY, TYPES, Column, Composed, timed
from operators.features.fields import event
from operators.features.scopes import LastEvents
from operators.time import DAY, HOUR, MINUTE, label
from schemas.errors import FeatureError

Timed: TypeAlias = tuple[int, Any] | None


def not_of_last(feature: Composed, instead: str) -> None:
    """Raises FeatureError where the scope keeps the last events already."""
    if isinstance(feature.scope, LastEvents):
        raise FeatureError(f"{feature.name}: {type(feature).__name__} of the last k events; {instead}")


@dataclass(frozen=True, eq=False, kw_only=True)
class First(Composed):
    """The value of the earliest event that has one; of several at one instant, the smallest value."""

    of: Expression

    def value(self) -> Expression:
        of = check(self.of, ("text", "int", "number", "flag"), f"{self.name}: of")
        return timed(of.read, of)

    def accumulator(self) -> Any:
        return self.value_type() | None

    def value_type(self) -> Any:
        one = TYPES[self.of.kind]
        return tuple[int, one]  # type: ignore[valid-type]

    def columns(self) -> Sequence[Column]:
        return (Column("", DTYPES[self.of.kind], f"{type(self).__name__.lower()} {self.of}"),)

    def zero(self) -> Timed:
        return None

    def add(self, acc: Timed, value: tuple[int, Any]) -> Timed:
        return value if acc is None or value < acc else acc

    def merge(self, acc: Timed, other: Timed) -> Timed:
        return acc if other is None else self.add(acc, other)

    def finalize(self, acc: Timed, at: int) -> tuple[Any]:
        return (EMPTY[self.of.kind] if acc is None else acc[1],)

    def accumulator_bytes(self, text: int) -> int:
        return 1 + self.value_bytes(text)

    def value_bytes(self, text: int) -> int:
        return 9 + (text + 2 if self.of.kind == "text" else 9)


@dataclass(frozen=True, eq=False, kw_only=True)
class Last(First):
    """The value of the latest event that has one; of several at one instant, the largest value."""

    def check(self) -> None:
        not_of_last(self, "that is the last of all: leave the window out")

    def add(self, acc: Timed, value: tuple[int, Any]) -> Timed:
        return value if acc is None or value > acc else acc


LADDER = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY,
          30 * DAY, 90 * DAY, 365 * DAY)  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeSinceLast(Composed):
    """The time since the latest event: seconds, rounded down to a step of `ladder` (ms), -1 where there is none; and as
    `<name>_at` the event's exact time in epoch ms, 0 where there is none. Both int64.

    The steps bound how often a row is written while no event comes: a row that is written at each step is right in
    between. A reader that knows the time may subtract `<name>_at` instead.
    """

    ladder: tuple[int, ...] = LADDER
    ages: ClassVar[bool] = True

    def check(self) -> None:
        not_of_last(self, "the last of them is the last of all: leave the window out")
        if not self.ladder or list(self.ladder) != sorted(set(self.ladder)) or self.ladder[0] <= 0:
            raise FeatureError(f"{self.name}: a ladder is of rising durations in ms")

    def value(self) -> Expression:
        return event.timestamp

    def accumulator(self) -> Any:
        return int

    def columns(self) -> Sequence[Column]:
        rungs = ", ".join(map(label, self.ladder))
        return (
            Column("", "int64", f"seconds since the last event, rounded down to 0, {rungs}; -1 for none"),
            Column("_at", "int64", "the last event's time, epoch ms"),
        )

    def zero(self) -> int:
        return 0

    def add(self, acc: int, value: int) -> int:
        return max(acc, value)

    def merge(self, acc: int, other: int) -> int:
        return max(acc, other)

    def finalize(self, acc: int, at: int) -> tuple[int, int]:
        if not acc:
            return -1, 0
        reached = bisect_right(self.ladder, at - acc)
        return self.ladder[reached - 1] // 1000 if reached else 0, acc

    def changes(self, acc: int, at: int) -> int | None:
        reached = bisect_right(self.ladder, at - acc)
        return acc + self.ladder[reached] if acc and reached < len(self.ladder) else None

    def accumulator_bytes(self, text: int) -> int:
        return 9
