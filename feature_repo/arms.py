"""What bandit policies have learned, by row of the item and by policy: few items have any of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from feature_repo import views
from operators.decay import POPULARITY_ORIGIN
from operators.picture_counts import UNKNOWN

Floats = npt.NDArray[np.float64]
MOST_MODELS = 256
"""linear models that are kept, the latest: anybody who posts impressions can name surfaces"""


class ArmTotals(NamedTuple):
    """How often each of k arms was shown and taken, (k,) each, decayed."""

    shown: Floats
    taken: Floats


class LinearSums(NamedTuple):
    """The decayed sums of a linear model in contexts of d: `gram` (d, d) of x x', `response` (d,) of reward * x."""

    gram: Floats
    response: Floats


class _OfPictures(NamedTuple):
    """Counts of an item's k pictures, overall and in s segments: float32 (k + 1, 1 + s, 2), in units of 2^total; the
    last picture stands for those that are unknown, which have none."""

    total: float
    places: dict[str, int]
    segments: tuple[str, ...]
    counts: npt.NDArray[np.float32]


class ArmSlice(Struct, frozen=True):
    """A copy of the counts of some items and pictures, and of some models. Rows are positions in a slice of columns."""

    slots: dict[int, tuple[float, float]]
    pictures: dict[int, tuple[float, dict[str, int], tuple[str, ...], Any]]
    models: dict[str, tuple[int, Any, Any]]


NO_ARMS = ArmSlice({}, {}, {})


class ArmColumns:
    """Counts of items and of their pictures, and linear models. One thread changes it while others read: an entry is
    replaced whole."""

    def __init__(self) -> None:
        self.dropped = 0
        """how often a linear model was dropped, since there were MOST_MODELS later ones"""
        self._slots: dict[int, tuple[float, float]] = {}
        self._pictures: dict[int, _OfPictures] = {}
        self._models: dict[str, tuple[int, LinearSums]] = {}

    def put_item(self, row: int, values: Sequence[Any]) -> None:
        """Replaces the counts of an item by those of a row of `item_exploration`."""
        shown, taken, total, names, segments, of_shown, of_taken = values
        self._slots[row] = shown, taken
        if not names:
            self._pictures.pop(row, None)
            return
        counts = np.zeros((len(names) + 1, 1 + len(segments), 2), np.float32)
        for kind, values_of_kind in enumerate((of_shown, of_taken)):
            counts[:-1, :, kind] = np.reshape(values_of_kind, counts[:-1, :, 0].shape)
        places = {name: place for place, name in enumerate(names)}
        # The same segments occur in many items.
        self._pictures[row] = _OfPictures(total, places, tuple(map(sys.intern, segments)), counts)

    def put_model(self, policy: str, values: Sequence[Any]) -> None:
        """Replaces a policy's model by a row of `policy_model`, which has no numbers where the model has ended. Beyond
        MOST_MODELS the one that nothing was shown by for longest is dropped."""
        as_of, _, gram, response = values
        d = len(response)
        if not d:
            self._models.pop(policy, None)
            return
        self._models[policy] = as_of, LinearSums(np.array(gram, float).reshape(d, d), np.array(response, float))
        if len(self._models) > MOST_MODELS:
            del self._models[min(self._models, key=lambda name: self._models[name][0])]
            self.dropped += 1

    def counts(self, rows: Sequence[int], at: int) -> ArmTotals:
        """Counts of the items at `rows` (k,) in exploration slots, as of `at`, epoch ms."""
        nothing = UNKNOWN, UNKNOWN
        logs = np.array([self._slots.get(row, nothing) for row in rows], float).reshape(-1, 2)
        return _totals(np.exp2(logs - _age(at, views.EXPLORED.half_life)))

    def pictures(
        self, choices: Sequence[tuple[int, Sequence[str]]], segment: str, at: int
    ) -> tuple[ArmTotals, ArmTotals]:
        """Counts of the pictures of some items, in a segment and in all of them, as of `at`, epoch ms. `choices` are
        rows and pictures; the counts (k,) are of all pictures one after the other."""
        age, start = _age(at, views.PICTURES.half_life), 0
        found = np.zeros((2, sum(len(pictures) for _, pictures in choices), 2))
        for row, pictures in choices:
            end = start + len(pictures)
            known = self._pictures.get(row)
            if known is not None:
                find = known.places.get
                counts = known.counts[[find(picture, -1) for picture in pictures]]
                counts *= 2.0 ** (known.total - age)
                found[1, start:end] = counts[:, 0]
                if segment in known.segments:
                    found[0, start:end] = counts[:, 1 + known.segments.index(segment)]
            start = end
        return _totals(found[0]), _totals(found[1])

    def model(self, policy: str, at: int) -> LinearSums | None:
        """A policy's model as of `at`, epoch ms; None where there is none."""
        found = self._models.get(policy)
        if found is None:
            return None
        as_of, sums = found
        factor = 2.0 ** -((at - as_of) / views.LINEAR.half_life)
        return LinearSums(sums.gram * factor, sums.response * factor)

    def take(self, slots: Mapping[int, int], pictures: Mapping[int, int], models_of: str = "") -> ArmSlice:
        """What is known of some items in exploration slots, of the pictures of some, both as row → position in a slice,
        and of the models of the surface `models_of`; "" for none."""
        begins = f"{models_of}/"
        models = list(self._models.items()) if models_of else []
        return ArmSlice(
            {at: self._slots[row] for row, at in slots.items() if row in self._slots},
            {at: (*self._pictures[row],) for row, at in pictures.items() if row in self._pictures},
            {name: (as_of, *sums) for name, (as_of, sums) in models if name.startswith(begins)},
        )

    def restore(self, of: ArmSlice) -> None:
        """Adds what a slice has."""
        self._slots |= of.slots
        self._pictures |= {row: _OfPictures(*found) for row, found in of.pictures.items()}
        for name, (as_of, gram, response) in of.models.items():
            self._models[name] = as_of, LinearSums(gram, response)


def _age(at: int, half_life: int) -> float:
    """Half-lives since the instant that logarithms are as of."""
    return (at - POPULARITY_ORIGIN) / half_life


def _totals(pairs: Floats) -> ArmTotals:
    return ArmTotals(pairs[:, 0], np.minimum(pairs[:, 1], pairs[:, 0]))
