"""Session length, session depth and bounces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from operators.features.counts import Count
from operators.features.expressions import Expression
from operators.features.feature import Column, Composed
from operators.features.fields import event
from operators.features.scopes import Lifetime
from schemas.errors import FeatureError


def _check(feature: Composed) -> None:
    """Raises FeatureError unless the feature is of whole sessions: a window would cut them in two."""
    of_session = feature.entity.keys[0].fields == ("session_id",) and isinstance(feature.scope, Lifetime)
    if not (feature.scope.needs_all_events or of_session):
        raise FeatureError(
            f"{feature.name}: {type(feature).__name__} is of a session: window=Session(gap), or entity=session for life"
        )


@dataclass(frozen=True, eq=False)
class SessionLength(Composed):
    """Seconds from the first to the last event of the session. float64."""

    weighted: ClassVar[bool] = False

    def check(self) -> None:
        _check(self)

    def value(self) -> Expression:
        return event.timestamp

    def accumulator(self) -> Any:
        return tuple[int, int]

    def columns(self) -> Sequence[Column]:
        return (Column("", "float64", "first to last event, seconds"),)

    def zero(self) -> tuple[int, int]:
        return (0, 0)

    def add(self, acc: tuple[int, int], value: int) -> tuple[int, int]:
        return (min(acc[0], value), max(acc[1], value)) if acc[1] else (value, value)

    def merge(self, acc: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
        return (min(acc[0], other[0]), max(acc[1], other[1])) if acc[1] and other[1] else max(acc, other)

    def finalize(self, acc: tuple[int, int], at: int) -> tuple[float]:
        return ((acc[1] - acc[0]) / 1000,)

    def accumulator_bytes(self, text: int) -> int:
        return 19


@dataclass(frozen=True, eq=False)
class SessionDepth(Count):
    """The number of events of the session so far. int64."""

    def check(self) -> None:
        _check(self)


@dataclass(frozen=True, eq=False)
class Bounce(Count):
    """Whether the session has one event so far. bool; False where there is no session."""

    def check(self) -> None:
        _check(self)

    def columns(self) -> Sequence[Column]:
        return (Column("", "bool", "whether the session is of one event"),)

    def finalize(self, acc: float, at: int) -> tuple[Any]:
        return (acc == 1,)
