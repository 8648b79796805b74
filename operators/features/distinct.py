"""Distinct counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasketches import hll_sketch, hll_union, tgt_hll_type
from msgspec import Struct

from operators.features.expressions import Expression, check
from operators.features.feature import Column, Composed, each
from operators.history import hash64

EXACT = 128
"""distinct values of one accumulator that are kept exactly: they take as many bytes as the sketch"""
LG_K = 11
STANDARD_ERROR = 1.04 / 2 ** (LG_K / 2)
"""relative, of one standard deviation: 2.3 %"""


class Different(Struct, array_like=True, gc=False):
    """Hashes of the values, or a sketch of all of them where there are too many."""

    hashes: set[int]
    sketch: hll_sketch | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class DistinctCount(Composed):
    """The number of distinct values: int64. A list-valued field has several.

    Exact while no tile has more than 128; beyond, HyperLogLog (Flajolet et al., 2007) with 2^11 registers of 4 bits
    and a standard error of 2.3 %.
    """

    of: Expression

    def value(self) -> Expression:
        return each(check(self.of, ("text", "texts"), f"{self.name}: of"))

    def accumulator(self) -> Any:
        return Different

    def value_type(self) -> Any:
        return tuple[str, ...]

    def columns(self) -> Sequence[Column]:
        return (Column("", "int64", f"distinct {self.of}"),)

    def zero(self) -> Different:
        return Different(set())

    def add(self, acc: Different, value: tuple[str, ...]) -> Different:
        for name in value:
            if acc.sketch is None:
                acc.hashes.add(hash64(name))
            else:
                acc.sketch.update(hash64(name))
        if len(acc.hashes) > EXACT:
            acc.sketch = _sketch(acc)
            acc.hashes = set()
        return acc

    def merge(self, acc: Different, other: Different) -> Different:
        """Exact sets stay exact whatever their size, as a merged accumulator is read and not stored."""
        acc.hashes |= other.hashes
        if other.sketch is not None:
            union = hll_union(LG_K)
            if acc.sketch is not None:
                union.update(acc.sketch)
            union.update(other.sketch)
            acc.sketch = union.get_result(tgt_hll_type.HLL_4)
        return acc

    def finalize(self, acc: Different, at: int) -> tuple[int]:
        if acc.sketch is None:
            return (len(acc.hashes),)
        return (round(acc.sketch.get_estimate() if not acc.hashes else _sketch(acc).get_estimate()),)

    def accumulator_bytes(self, text: int) -> int:
        return max(9 * EXACT, 2 ** (LG_K - 1) + 200) + 8


def _sketch(acc: Different) -> hll_sketch:
    """A sketch of the accumulator's values."""
    sketch = hll_sketch(LG_K, tgt_hll_type.HLL_4)
    for hashed in sorted(acc.hashes):
        sketch.update(hashed)
    if acc.sketch is None:
        return sketch
    union = hll_union(LG_K)
    union.update(acc.sketch)
    union.update(sketch)
    return union.get_result(tgt_hll_type.HLL_4)
