"""Crosses of the request: hour, weekday, device, and position in the list."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from feature_repo.crosses.cross import Column, Cross
from feature_repo.value import USER, Value
from operators.features import Feature
from schemas.errors import FeatureError
from schemas.local_time import zone

if TYPE_CHECKING:
    from feature_repo.candidates import Candidates, Request


@dataclass(frozen=True, eq=False, repr=False)
class _Clock(Cross):
    """`zone` is a declared feature with the person's time zone, such as
    Last("user_zone", entity=user, of=event.user.timezone); UTC without one, and where it has no value."""

    _: KW_ONLY
    zone: Feature | None = None
    asks = ("at",)

    def read(self) -> tuple[Value, ...]:
        return () if self.zone is None else (self.value(self.zone, USER, ("string",)),)

    def time(self, request: Request) -> datetime:
        """The person's local time at the moment of the request."""
        name = request.value(self.values[0]) if self.values else ""
        return datetime.fromtimestamp(request.at / 1000, zone(name) if name else UTC)


@dataclass(frozen=True, eq=False, repr=False)
class Hour(_Clock):
    """The hour of the person's day, 0 to 23."""

    def __call__(self, of: Candidates) -> Column:
        return np.full(len(of), float(self.time(of.request).hour))


@dataclass(frozen=True, eq=False, repr=False)
class Weekday(_Clock):
    """The day of the person's week, 0 (Monday) to 6."""

    def __call__(self, of: Candidates) -> Column:
        return np.full(len(of), float(self.time(of.request).weekday()))


@dataclass(frozen=True, eq=False, repr=False)
class Device(Cross):
    """1 where the request's device is one of `among`, 0 otherwise."""

    _: KW_ONLY
    among: tuple[str, ...]
    asks = ("device",)

    def read(self) -> tuple[Value, ...]:
        if isinstance(self.among, str) or not self.among or not all(isinstance(name, str) for name in self.among):
            raise FeatureError(f"{self.name}: among is {self.among!r}, where a tuple of names of devices is needed")
        return ()

    def __call__(self, of: Candidates) -> Column:
        return np.full(len(of), float(of.request.device in self.among))


@dataclass(frozen=True, eq=False, repr=False)
class Position(Cross):
    """The candidate's position in the list that the person saw it in, from 0; -1 where it was in none. At a request it
    is 0 for all candidates: items at the top are clicked because of their position, and a model with this input does
    not attribute that to the item."""

    asks = ("position",)

    def __call__(self, of: Candidates) -> Column:
        return np.zeros(len(of)) if of.positions is None else of.positions
