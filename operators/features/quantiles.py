"""Quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasketches import tdigest_double
from msgspec import Struct

from operators.features.expressions import Expression, check
from operators.features.feature import Column, Composed
from schemas.errors import FeatureError

EXACT = 256
"""values that an accumulator buffers exactly before they enter its digest together"""
K = 200
RANK_ERROR = 0.02
"""largest measured difference between q and the share of values below its estimate; smaller near 0 and 1"""
DIGEST_BYTES = 32 + 16 * (2 * K + 10)


class Spread(Struct, array_like=True, gc=False):
    """The latest values, and a digest of those before them."""

    values: list[float]
    digest: tdigest_double | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantiles(Composed):
    """The values below which shares `qs` of all values lie: float64 if there is one, as `<name>`, else one field each:
    `<name>_p50`, `<name>_p99_9`. `default` where there is no value.

    Exact while no tile has more than 255 values, with linear interpolation like SQL's `percentile_cont`. Beyond, a
    t-digest (Dunning and Ertl, 2019): unlike KLL, whose error is proven, it is deterministic, so that a replay gives
    the same number. For the same reason values enter the digest after a fixed number of them, whenever state is saved.
    """

    of: Expression
    qs: tuple[float, ...] = (0.5,)
    default: float = 0.0

    def check(self) -> None:
        if not self.qs or not all(0 <= q <= 1 for q in self.qs):
            raise FeatureError(f"{self.name}: qs is {self.qs}; shares from 0 to 1 are needed")

    def value(self) -> Expression:
        return check(self.of, ("int", "number"), f"{self.name}: of")

    def accumulator(self) -> Any:
        return Spread

    def value_type(self) -> Any:
        return float

    def columns(self) -> Sequence[Column]:
        one = len(self.qs) == 1
        return [
            Column("" if one else f"_p{f'{100 * q:g}'.replace('.', '_')}", "float64", f"{q:g} quantile of {self.of}")
            for q in self.qs
        ]

    def zero(self) -> Spread:
        return Spread([])

    def add(self, acc: Spread, value: float) -> Spread:
        acc.values.append(value)
        if len(acc.values) >= EXACT:
            acc.digest = _digest(acc)
            acc.values = []
        return acc

    def merge(self, acc: Spread, other: Spread) -> Spread:
        """Exact values stay exact whatever their number, as a merged accumulator is read and not stored."""
        acc.values += other.values
        if other.digest is not None:
            if acc.digest is None:
                acc.digest = tdigest_double(K)
            acc.digest.merge(other.digest)
        return acc

    def finalize(self, acc: Spread, at: int) -> tuple[float, ...]:
        if acc.digest is not None:
            digest = _digest(acc)
            return tuple(digest.get_quantile(q) for q in self.qs)
        if not acc.values:
            return (self.default,) * len(self.qs)
        return tuple(quantile(sorted(acc.values), q) for q in self.qs)

    def accumulator_bytes(self, text: int) -> int:
        return 8 + DIGEST_BYTES + 9 * EXACT


def _digest(acc: Spread) -> tdigest_double:
    """A digest of the accumulator's values, compressed as it is after having been saved and restored."""
    digest = tdigest_double(K)
    if acc.digest is not None:
        digest.merge(acc.digest)
    for value in sorted(acc.values):
        digest.update(value)
    digest.compress()
    return digest


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q quantile, interpolated linearly between the two values nearest to rank q · (n - 1)."""
    place = q * (len(ordered) - 1)
    below = int(place)
    if below + 1 == len(ordered):
        return ordered[below]
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])
