"""Crosses that pass a declared feature through: of the person, or of each candidate."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np

from feature_repo.crosses.cross import NUMBERS, Column, Cross
from feature_repo.value import ITEM, USER, Value
from operators.features import Feature

if TYPE_CHECKING:
    from feature_repo.candidates import Candidates


@dataclass(frozen=True, eq=False, repr=False)
class UserFeature(Cross):
    """A number of the person, the same for all candidates. Of a feature of several fields, `field` says which."""

    _: KW_ONLY
    of: Feature
    field: str = ""

    def read(self) -> tuple[Value, ...]:
        return (self.value(self.of, USER, NUMBERS, self.field),)

    def __call__(self, of: Candidates) -> Column:
        return np.full(len(of), float(of.request.value(self.values[0])))


@dataclass(frozen=True, eq=False, repr=False)
class ItemFeature(Cross):
    """A number of each candidate. Of a feature of several fields, `field` says which."""

    _: KW_ONLY
    of: Feature
    field: str = ""

    def read(self) -> tuple[Value, ...]:
        return (self.value(self.of, ITEM, NUMBERS, self.field),)

    def __call__(self, of: Candidates) -> Column:
        return of.column(self.values[0])
