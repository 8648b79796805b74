"""What a scope needs of a feature: accumulators that merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeAlias

from operators.contract import Signal

Take: TypeAlias = Callable[[Any, Any, Signal], None]
"""Adds an event's value to a state, in place: (state, value, signal)."""


class Monoid(Protocol):
    """Accumulators of event values. `add` and `merge` may change their first argument, and never the second."""

    scale_free: ClassVar[bool]
    """whether the result is the same where all weights change by one factor"""

    def zero(self) -> Any:
        """The accumulator of no event."""

    def add(self, acc: Any, value: Any) -> Any:
        """The accumulator with one more value."""

    def add_weighted(self, acc: Any, value: Any, weight: float) -> Any:
        """The accumulator with one more value that counts `weight` times."""

    def scale(self, acc: Any, factor: float) -> Any:
        """A new accumulator in which every value counts `factor` times as much."""

    def merged(self, found: list[Any]) -> Any:
        """All accumulators as one; they are left as they are."""
