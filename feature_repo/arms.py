"""What bandit policies have learned, by row of the item and by policy: few items have any of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo import views
from operators.bandit_counts import UNKNOWN
from operators.decay import POPULARITY_ORIGIN

Floats = npt.NDArray[np.float64]
MOST_MODELS = 256
"""linear models that are kept: anybody who posts impressions can name surfaces"""


class ArmTotals(NamedTuple):
    """How often each of k arms was shown and taken, (k,) each, decayed."""

    shown: Floats
    taken: Floats


class LinearSums(NamedTuple):
    """The decayed sums of a linear model in contexts of d: `gram` (d, d) of x x', `response` (d,) of reward * x."""

    gram: Floats
    response: Floats


class ArmColumns:
    """Counts of items and of their pictures, and linear models. One thread changes it while others read: an entry is
    replaced whole."""

    def __init__(self) -> None:
        self._slots: dict[int, tuple[float, float]] = {}
        self._pictures: dict[int, tuple[float, dict[str, tuple[float, float]]]] = {}
        self._models: dict[str, tuple[int, LinearSums]] = {}

    def put_item(self, row: int, values: Sequence[Any]) -> None:
        """Replaces the counts of an item by those of a row of `item_exploration`."""
        shown, taken, total, names, of_shown, of_taken = values
        self._slots[row] = shown, taken
        if names:
            counts = zip(of_shown, of_taken, strict=True)
            self._pictures[row] = total, dict(zip(names, counts, strict=True))

    def put_model(self, policy: str, values: Sequence[Any]) -> None:
        """Replaces a policy's model by a row of `policy_model`; beyond MOST_MODELS new policies have none."""
        as_of, _, gram, response = values
        d = len(response)
        if policy not in self._models and len(self._models) >= MOST_MODELS:
            return
        self._models[policy] = as_of, LinearSums(np.array(gram, float).reshape(d, d), np.array(response, float))

    def counts(self, rows: Sequence[int], at: int) -> ArmTotals:
        """Counts of the items at `rows` (k,) in exploration slots, as of `at`, epoch ms."""
        nothing = UNKNOWN, UNKNOWN
        logs = np.array([self._slots.get(row, nothing) for row in rows], float).reshape(-1, 2)
        shown, taken = np.exp2(logs - _age(at, views.EXPLORED.half_life)).T
        return ArmTotals(shown, np.minimum(taken, shown))

    def pictures(self, row: int, pictures: Sequence[str], segment: str, at: int) -> tuple[ArmTotals, ArmTotals]:
        """Counts of the pictures (k,) of an item, in a segment and in all of them, as of `at`, epoch ms."""
        total, known = self._pictures.get(row, (UNKNOWN, {}))
        unit = 2.0 ** (total - _age(at, views.EXPLORED.half_life))
        place = {picture: n for n, picture in enumerate(pictures)}
        own, everywhere = np.zeros((2, len(pictures))), np.zeros((2, len(pictures)))
        for name, (shown, taken) in known.items():
            of, _, picture = name.partition("\0")
            n = place.get(picture)
            if n is not None:
                everywhere[:, n] += shown, taken
                if of == segment:
                    own[:, n] += shown, taken
        return _counts(own * unit), _counts(everywhere * unit)

    def model(self, policy: str, d: int, at: int) -> LinearSums | None:
        """A policy's model in contexts of d, as of `at`, epoch ms; None where there is none of that dimension."""
        as_of, sums = self._models.get(policy, (0, None))
        if sums is None or len(sums.response) != d:
            return None
        factor = 2.0 ** -((at - as_of) / views.LINEAR.half_life)
        return LinearSums(sums.gram * factor, sums.response * factor)


def _age(at: int, half_life: int) -> float:
    return (at - POPULARITY_ORIGIN) / half_life


def _counts(of: Floats) -> ArmTotals:
    return ArmTotals(of[0], np.minimum(of[1], of[0]))
