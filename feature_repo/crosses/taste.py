"""Crosses of a person's preferences and a candidate's categories, brand, other fields, price or age."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import numpy as np

from feature_repo.age import ages
from feature_repo.crosses.cross import NUMBERS, Column, Cross
from feature_repo.value import USER, USER_AND, Value
from operators.features import Feature, Mean, Quantiles
from operators.features.last_k import LastK
from operators.time import days
from schemas.errors import FeatureError

if TYPE_CHECKING:
    from feature_repo.candidates import Candidates

SEVERAL = ("item.categories", "item.brand")
"""fields of items whose values people have features of"""
ATTRIBUTE = "item.attributes."
FIELD = re.compile(r"item_id|item\.(categories|brand|attributes\.[^()]+)")


@dataclass(frozen=True, eq=False, repr=False)
class Affinity(Cross):
    """A feature of pairs of the person and the candidate's categories, or its brand: the mean over them. The feature is
    of an entity keyed by event.user_id and event.item.categories or event.item.brand, such as user_category."""

    _: KW_ONLY
    of: Feature
    field: str = ""

    @property
    def on_demand(self) -> bool:
        return False  # a candidate has several categories, and a row of Feast's one key

    def read(self) -> tuple[Value, ...]:
        found = self.value(self.of, USER_AND, NUMBERS, self.field)
        if found.second not in SEVERAL:
            raise FeatureError(
                f"{self.name}: an Affinity is to categories or brands of items, and {self.of.name} is of {found.second}"
            )
        return (found,)

    def __call__(self, of: Candidates) -> Column:
        (value,) = self.values
        rows = of.pairs(value.entity.view, value.second)
        known = {name: found for name, row in rows.items() if (found := row.get(value.field.name)) is not None}
        return of.mean(value.second, known, value.field.default)


@dataclass(frozen=True, eq=False, repr=False)
class Overlap(Cross):
    """The share of the candidate's values of an item field that are in the person's set of that field, 0 where the
    candidate has none: 1 for a brand that the person has touched. The feature is an InteractedWith or LastK over one
    field of items: `event.item_id`, `event.item.categories`, `event.item.brand` or an attribute."""

    _: KW_ONLY
    of: Feature

    def read(self) -> tuple[Value, ...]:
        if isinstance(self.of, Feature) and not (isinstance(self.of, LastK) and FIELD.fullmatch(self._field)):
            raise FeatureError(
                f"{self.name}: an Overlap is with the values of one field of items, as InteractedWith and LastK keep "
                f"them, and {self.of.name} keeps none"
            )
        return (self.value(self.of, USER, ("string[]", "int64[]")),)

    @property
    def _field(self) -> str:
        return str(getattr(self.of, "of", "")).removeprefix("event.")

    @property
    def attributes(self) -> tuple[str, ...]:
        return (self._field.removeprefix(ATTRIBUTE),) if self._field.startswith(ATTRIBUTE) else ()

    @property
    def on_demand(self) -> bool:
        return not self.attributes  # of which Feast has none

    def __call__(self, of: Candidates) -> Column:
        found = of.request.value(self.values[0])
        if self._field == "item_id":
            return np.isin(of.rows, of.request.items.rows(found)).astype(float)
        return of.mean(self._field, dict.fromkeys(found, 1.0), 0.0)


@dataclass(frozen=True, eq=False, repr=False)
class RelativePrice(Cross):
    """log2 of the candidate's price over the person's usual one, 0 where either is not known: 1 is twice as dear. The
    feature is a Mean or Quantiles of prices."""

    _: KW_ONLY
    of: Feature
    field: str = ""

    def read(self) -> tuple[Value, ...]:
        found = self.value(self.of, USER, ("float64",), self.field)
        prices = any(field.rpartition(".")[2] == "price" for field in self.of.reads.fields)
        if not isinstance(self.of, (Mean, Quantiles)) or not prices:
            raise FeatureError(
                f"{self.name}: a usual price is a Mean or Quantiles of prices, and {self.of.name} is none"
            )
        return (found,)

    def __call__(self, of: Candidates) -> Column:
        usual = float(of.request.value(self.values[0]))
        price = of.request.items.price.take(of.rows)
        known = np.isfinite(price) & (price > 0) & (usual > 0)
        return np.log2(np.where(known, price, 1.0) / np.where(known, usual, 1.0))


@dataclass(frozen=True, eq=False, repr=False)
class ItemAge(Cross):
    """2^(-age / half_life) of the candidate, `half_life` in ms: 1 for a new item, and 0 where the age is
    unknown or the date in the future."""

    _: KW_ONLY
    half_life: int = days(30)
    asks = ("at",)

    def read(self) -> tuple[Value, ...]:
        if self.half_life <= 0:
            raise FeatureError(f"{self.name}: a half-life is longer than {self.half_life} ms")
        return ()

    def __call__(self, of: Candidates) -> Column:
        age = ages(of.request.items.created_at.take(of.rows), of.request.at)
        return np.nan_to_num(np.exp2(-age / self.half_life))
