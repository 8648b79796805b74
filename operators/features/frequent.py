"""Most frequent names, and the entropy of names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from datasketches import frequent_items_error_type, frequent_strings_sketch
from msgspec import Struct

from operators.features.expressions import Expression, check
from operators.features.feature import Column, Composed, each
from operators.history import hash64
from schemas.errors import FeatureError

EXACT = 128
"""distinct names of one accumulator that are counted exactly"""
LG_SIZE = 9
ERROR = 3.5 / 2**LG_SIZE
"""largest error of a sketch's count of a name, as a share of all that was counted: 0.7 %"""


class Frequencies(Struct, array_like=True, gc=False):
    """Weight by name, and a sketch of the names that came after there were too many."""

    counts: dict[str, float]
    sketch: frequent_strings_sketch | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class TopK(Composed):
    """The `k` most frequent names, ties in order of name: string[]; and `<name>_shares`, each one's share of all names'
    events: float32[]. A list-valued field has several names.

    Exact while no tile has more than 128 names; beyond, a frequent-items sketch (Anderson et al., IMC 2017) whose
    counts are off by at most 0.7 % of all. With a `weight` (an expression, such as `event.event_type.map(...)`; a
    negative weight counts against a name) or under decay, the least of more than 128 names is dropped, and shares are
    of the absolute weights.
    """

    of: Expression
    k: int
    weight: Expression | None = None
    weighted: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True

    def check(self) -> None:
        if not 1 <= self.k <= EXACT:
            raise FeatureError(f"{self.name}: k is {self.k}; from 1 to {EXACT} is possible")

    def value(self) -> Expression:
        names = each(check(self.of, ("text", "texts"), f"{self.name}: of"))
        if self.weight is None:
            return names
        read, weigh = names.read, check(self.weight, ("int", "number"), f"{self.name}: weight").read

        def weighed(s: Any) -> Any:
            found, weight = read(s), weigh(s)
            return None if found is None or not weight else (float(weight), found)

        return Expression(f"weighed({self.weight}, {self.of})", "texts", weighed, self.weight.fields + self.of.fields)

    def accumulator(self) -> Any:
        return Frequencies

    def value_type(self) -> Any:
        names = tuple[str, ...]
        return names if self.weight is None else tuple[float, names]

    def columns(self) -> Sequence[Column]:
        return (
            Column("", "string[]", f"most frequent {self.of}, best first"),
            Column("_shares", "float32[]", "their shares of all"),
        )

    def zero(self) -> Frequencies:
        return Frequencies({})

    def add(self, acc: Frequencies, value: Any) -> Frequencies:
        if self.weight is not None:
            return self.add_weighted(acc, value, 1)
        if acc.sketch is not None:
            for name in value:
                acc.sketch.update(name)
            return acc
        counts = acc.counts
        for name in value:
            counts[name] = counts.get(name, 0) + 1
        return _sketched(acc) if len(counts) > EXACT else acc

    def add_weighted(self, acc: Frequencies, value: Any, weight: float) -> Frequencies:
        if self.weight is not None:
            weight, value = weight * value[0], value[1]
        counts = acc.counts
        for name in value:
            counts[name] = counts.get(name, 0.0) + weight
        while len(counts) > EXACT:
            del counts[min(counts, key=lambda name: (abs(counts[name]), name))]
        return acc

    def scale(self, acc: Frequencies, factor: float) -> Frequencies:
        return Frequencies({name: count * factor for name, count in acc.counts.items()})

    def merge(self, acc: Frequencies, other: Frequencies) -> Frequencies:
        """Exact counts stay exact whatever their number, as a merged accumulator is read and not stored."""
        for name, count in other.counts.items():
            acc.counts[name] = acc.counts.get(name, 0) + count
        if other.sketch is not None:
            if acc.sketch is None:
                acc.sketch = frequent_strings_sketch(LG_SIZE)
            acc.sketch.merge(other.sketch)
        return acc

    def finalize(self, acc: Frequencies, at: int) -> tuple[list[str], list[float]]:
        counts, total = acc.counts, sum(map(abs, acc.counts.values()))
        if acc.sketch is not None:
            found = acc.sketch.get_frequent_items(frequent_items_error_type.NO_FALSE_NEGATIVES)
            counts = dict(counts)
            for name, estimate, _, _ in found:
                counts[name] = counts.get(name, 0) + estimate
            total += acc.sketch.total_weight
        if not total:
            return [], []
        best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: self.k]
        return [name for name, _ in best], [count / total for _, count in best]

    def accumulator_bytes(self, text: int) -> int:
        exact = EXACT * (text + 11)
        sketch = 32 + 2**LG_SIZE * 3 // 4 * (text + 12)
        return 8 + (exact if self.weight is not None or self.scope.decays else max(exact, sketch))

    def value_bytes(self, text: int) -> int:
        return super().value_bytes(text) + (10 if self.weight is not None else 0)


def _sketched(acc: Frequencies) -> Frequencies:
    """The accumulator with its counts in a sketch."""
    acc.sketch = frequent_strings_sketch(LG_SIZE)
    for name, count in acc.counts.items():
        acc.sketch.update(name, int(count))
    acc.counts = {}
    return acc


BUCKETS = 4096


@dataclass(frozen=True, eq=False, kw_only=True)
class Entropy(Composed):
    """The entropy of names: -Σ p log2 p in bits, where p is a name's share of all. float64; 0 for one name or none.

    Names are counted in 4,096 buckets by hash, so that the state is bounded: two names in one bucket count as one,
    which can only lower the entropy.
    """

    of: Expression
    weighted: ClassVar[bool] = True
    scale_free: ClassVar[bool] = True

    def value(self) -> Expression:
        return each(check(self.of, ("text", "texts"), f"{self.name}: of"))

    def accumulator(self) -> Any:
        return dict[int, float]

    def value_type(self) -> Any:
        return tuple[str, ...]

    def columns(self) -> Sequence[Column]:
        return (Column("", "float64", f"entropy of {self.of}, bits"),)

    def zero(self) -> dict[int, float]:
        return {}

    def add_weighted(self, acc: dict[int, float], value: tuple[str, ...], weight: float) -> dict[int, float]:
        for name in value:
            bucket = hash64(name) % BUCKETS
            acc[bucket] = acc.get(bucket, 0) + weight
        return acc

    def scale(self, acc: dict[int, float], factor: float) -> dict[int, float]:
        return {bucket: count * factor for bucket, count in acc.items()}

    def merge(self, acc: dict[int, float], other: dict[int, float]) -> dict[int, float]:
        for bucket, count in other.items():
            acc[bucket] = acc.get(bucket, 0) + count
        return acc

    def finalize(self, acc: dict[int, float], at: int) -> tuple[float]:
        total = sum(acc.values())
        shares = [count / total for count in acc.values()] if total else []
        return (max(0.0, -sum(p * math.log2(p) for p in shares if p > 0)),)

    def accumulator_bytes(self, text: int) -> int:
        return 3 + BUCKETS * 12
