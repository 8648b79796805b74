"""Cosines to the candidate's vector: of a declared vector of the person, and of the words of a search."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np

from feature_repo.crosses.cross import Column, Cross
from feature_repo.value import USER, Value
from operators.features import Feature, Vector
from schemas.errors import FeatureError

if TYPE_CHECKING:
    from feature_repo.candidates import Candidates


@dataclass(frozen=True, eq=False, repr=False)
class Similarity(Cross):
    """Cosine of a declared Vector of the person and the candidate's vector; 0 where there is none, or one of another
    embedding space."""

    _: KW_ONLY
    of: Feature

    @property
    def on_demand(self) -> bool:
        return False  # vectors of items are the bundle's

    def read(self) -> tuple[Value, ...]:
        found = self.value(self.of, USER, ("float32[]",))
        if not isinstance(self.of, Vector):
            raise FeatureError(f"{self.name}: {self.of.name} is a {type(self.of).__name__}, and a Vector is needed")
        return found, self.value(self.of, USER, ("string",), f"{self.of.name}_space")

    def __call__(self, of: Candidates) -> Column:
        vector, space = map(of.request.value, self.values)
        if not len(vector) or space != of.request.space_id:
            return np.zeros(len(of))
        return of.vectors @ np.asarray(vector, np.float32)


@dataclass(frozen=True, eq=False, repr=False)
class QueryMatch(Cross):
    """Cosine of the words that the person searches for and the candidate's vector; 0 without a query, or where the
    space has none of its words."""

    @property
    def on_demand(self) -> bool:
        return False

    def __call__(self, of: Candidates) -> Column:
        query = of.request.query
        return np.zeros(len(of)) if query is None else of.vectors @ query
