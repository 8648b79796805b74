"""Measures of recommended lists beyond accuracy, and confidence intervals of their means over people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ALPHA = 0.01
"""share of the person's distribution in the smoothed one of a list (Steck, RecSys 2018, equation 7)"""


class Interval(NamedTuple):
    """A figure and the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def rounded(self) -> list[float]:
        """The three to 4 decimals."""
        return [round(each, 4) for each in self]


def vector_distance(vectors: npt.NDArray[Any]) -> float:
    """Mean of 1 - cosine over all pairs of unit vectors (n, dim); those that are zeros are left out. NaN of fewer than
    two (intra-list distance: Smyth and McClave, ICCBR 2001)."""
    found = vectors[vectors.any(axis=1)].astype(np.float64)
    n = len(found)
    if n < 2:
        return float("nan")
    cosines = found @ found.T
    return float(1 - (cosines.sum() - np.trace(cosines)) / (n * (n - 1)))


def category_distance(categories: Sequence[Sequence[str]]) -> float:
    """Mean of 1 - Jaccard's index over all pairs of items that have categories; NaN of fewer than two."""
    sets = [set(each) for each in categories if each]
    if len(sets) < 2:
        return float("nan")
    return float(
        np.mean([1 - len(a & b) / len(a | b) for k, a in enumerate(sets) for b in sets[k + 1 :]])
    )  # fmt: skip


def distribution(categories: Sequence[Sequence[str]]) -> dict[str, float]:
    """Category → share, of which each item's categories have equal parts; empty where no item has any."""
    found: dict[str, float] = {}
    having = [each for each in categories if each]
    for each in having:
        for name in each:
            found[name] = found.get(name, 0.0) + 1 / (len(each) * len(having))
    return found


def miscalibration(person: Mapping[str, float], shown: Mapping[str, float]) -> float:
    """KL(p, q) in nats of a person's distribution and a list's, q smoothed with ALPHA of p (Steck, RecSys 2018); 0 is
    calibrated. NaN where the person's is empty."""
    if not person:
        return float("nan")
    return float(
        sum(p * np.log(p / ((1 - ALPHA) * shown.get(name, 0.0) + ALPHA * p)) for name, p in person.items() if p > 0)
    )


def self_information(met_by: Mapping[str, int], people: int, item_ids: Sequence[str]) -> float:
    """Mean of -log2 of the share of people who have met the item, in bits, with one more person who has met all (Zhou
    et al., PNAS 107(10), 2010)."""
    shares = np.array([(met_by.get(item_id, 0) + 1) / (people + 1) for item_id in item_ids])
    return float(-np.log2(shares).mean())


def resamples(people: int, times: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """How often each person is drawn (times, people) where as many as there are are drawn with replacement."""
    chances = np.full(people, 1 / people)
    return np.random.default_rng(seed).multinomial(people, chances, size=times)


def mean_interval(values: Floats, of: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64]) -> Interval:
    """The mean of values (n,), NaN left out, with percentiles over `drawn` people (times, people); value k is of person
    `of[k]` (n,), all of whose values are drawn together."""
    known = np.isfinite(values)
    people = drawn.shape[1]
    sums = np.bincount(of[known], values[known], people)
    counts = np.bincount(of[known], minlength=people)
    found = (drawn @ sums) / np.maximum(drawn @ counts, 1)
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(float(sums.sum() / max(counts.sum(), 1)), float(low), float(high))


def coverage_interval(shown: npt.NDArray[np.bool_], drawn: npt.NDArray[np.int64], items: int) -> Interval:
    """Share of `items` that stand in any list, of who was shown which (people, items). A resample has fewer distinct
    people, and so fewer items: its percentiles are moved so that their mean is the figure."""
    value = shown.any(axis=0).sum() / items
    found = ((drawn > 0).astype(np.float32) @ shown.astype(np.float32) > 0).sum(axis=1) / items
    low, high = np.percentile(found, [2.5, 97.5]) - found.mean() + value
    return Interval(float(value), float(low), float(high))
