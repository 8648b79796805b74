"""Properties of interactions: which are numbers and which are texts, and their ranges."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from schemas.errors import InvalidEvent
from schemas.faults import NO_CONTROL

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MOST_WATCHED_S = 1e9
"""thirty years; sums of larger values would end in infinity"""


class Range(NamedTuple):
    """Bounds of a number, both inclusive unless `above` says that the lower one is not."""

    least: float
    most: float = math.inf
    above: bool = False

    def holds(self, value: float) -> bool:
        return (self.least < value if self.above else self.least <= value) and value <= self.most

    def __str__(self) -> str:
        if math.isinf(self.most):
            return f"{'more than' if self.above else 'at least'} {self.least:g}"
        return f"{self.least:g} to {self.most:.0f}"


NUMERIC_PROPERTIES = {
    "quantity": Range(0, above=True),
    "price": Range(0),
    "rating": Range(0, 10),
    "watch_seconds": Range(0, MOST_WATCHED_S),
    "position": Range(0),
}
"""Properties that features calculate with, and their ranges. Ratings: the scales in use are 1 to 5 and 0 to 10; a
percentage is to be divided by 10."""
TEXT_PROPERTIES = ("query", "surface", "device", "region", "country", "currency")


def check_properties(properties: dict[str, Any]) -> None:
    """Raises InvalidEvent naming a property of an interaction that is not as it has to be."""
    for name, value in properties.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidEvent("must be a finite number", f"properties.{name}")
        bounds = NUMERIC_PROPERTIES.get(name)
        if bounds is not None:
            if isinstance(value, (str, bool)):
                raise InvalidEvent("must be a number", f"properties.{name}")
            if not bounds.holds(value):
                raise InvalidEvent(f"must be {bounds}", f"properties.{name}")
        elif name in TEXT_PROPERTIES:
            if not isinstance(value, str):
                raise InvalidEvent("must be text", f"properties.{name}")
            if name != "query" and CONTROL.search(value):
                raise InvalidEvent(NO_CONTROL, f"properties.{name}")


def check_finite(values: dict[str, Any], where: str) -> None:
    """Raises InvalidEvent naming a number among values that is not finite; `where` is the field that has them."""
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidEvent("must be a finite number", f"{where}.{name}")
