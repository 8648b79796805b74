"""The candidates of one request on their way through the stages, as parallel arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows

MAX_RETRIEVERS = 32
"""of one surface: a candidate's sources are the bits of a number"""


class Listed(NamedTuple):
    """What is left of a list that was made at an earlier request, and that this one continues."""

    rows: Rows
    """(k,), best first as of then"""
    sources: npt.NDArray[np.uint32]
    """(k,), as in a CandidateSet of the surface"""
    relaxed: int = 0
    """how many of the surface's filters, counted from the last, were given up so that anything was left"""


class DrawnPlaces(NamedTuple):
    """What the exploration slots of one answer drew: positions in it, ascending, and the propensity of each."""

    positions: list[int]
    propensities: list[float]
    contexts: npt.NDArray[np.float32] | None = None
    """(slots, columns), where the policy reads them (recommend/slot_context.py)"""


@dataclass(slots=True)
class CandidateSet:
    """n candidates, each once. Stages read it; only the pipeline makes new ones."""

    rows: Rows
    sources: npt.NDArray[np.uint32]
    """(n,), bit k for the retriever `names[k]`"""
    names: tuple[str, ...]
    scores: npt.NDArray[np.float32] | None = None
    """(n,), once they are ranked"""
    heads: npt.NDArray[np.float32] | None = None
    """(n, heads): the scores before the objective weighs them"""
    features: npt.NDArray[np.float32] | None = None
    """(n, inputs): what the ranker computed the scores from, where it said so"""

    head_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: npt.NDArray[Any]) -> CandidateSet:
        """The candidates that a mask or an array of positions chooses, in that order."""
        at = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        scores, heads, features = self.scores, self.heads, self.features
        return CandidateSet(
            self.rows.take(at),
            self.sources.take(at),
            self.names,
            None if scores is None else scores.take(at),
            None if heads is None else heads.take(at, axis=0),  # a third of the time of heads[at]
            None if features is None else features.take(at, axis=0),
            self.head_names,
            self.feature_names,
        )

    def first(self, n: int) -> CandidateSet:
        """The first n candidates, all where there are fewer."""
        return self if len(self.rows) <= n else self._part(slice(0, n))

    def after(self, n: int) -> CandidateSet:
        """The candidates behind the first n."""
        return self._part(slice(n, None))

    def _part(self, part: slice) -> CandidateSet:
        scores, heads, features = self.scores, self.heads, self.features
        return CandidateSet(
            self.rows[part],
            self.sources[part],
            self.names,
            None if scores is None else scores[part],
            None if heads is None else heads[part],
            None if features is None else features[part],
            self.head_names,
            self.feature_names,
        )

    def then(self, other: CandidateSet) -> CandidateSet:
        """These candidates and, behind them, those of `other`, ranked alike or, both, not yet."""
        return CandidateSet(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.sources, other.sources]),
            self.names,
            _both(self.scores, other.scores),
            _both(self.heads, other.heads),
            _both(self.features, other.features),
            self.head_names,
            self.feature_names,
        )

    def found_by(self, *names: str) -> npt.NDArray[np.bool_]:
        """Which candidates (n,) any of these retrievers found."""
        return (self.sources & _bits(self.names, names)) > 0

    def sources_of(self, position: int) -> list[str]:
        """Names of the retrievers that found the candidate."""
        bits = int(self.sources[position])
        return [name for k, name in enumerate(self.names) if bits >> k & 1]


def _both(
    first: npt.NDArray[np.float32] | None, second: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float32] | None:
    return None if first is None or second is None else np.concatenate([first, second])


def merge(found: list[Rows], names: tuple[str, ...]) -> CandidateSet:
    """One set of the rows of all retrievers (parallel to `names`): each row once, with every source that found it,
    ordered by its best position in any, so that a cut takes the best of all."""
    filled = [place for place, each in enumerate(found) if len(each)]
    if len(filled) == 1 and _are_different(found[filled[0]]):
        rows = np.array(found[filled[0]], np.int64)
        return CandidateSet(rows, np.full(len(rows), 1 << filled[0], np.uint32), names)
    turns, bits = _in_turn(tuple(len(each) for each in found))
    if not len(turns):
        return CandidateSet(np.zeros(0, np.int64), np.zeros(0, np.uint32), names)
    rows = np.concatenate(found).take(turns)
    # A number of row and place sorts five times as fast as a stable argsort of the rows, in the same order.
    width = len(rows).bit_length()
    grouped = np.sort(rows << width | np.arange(len(rows)))
    order = grouped & (1 << width) - 1
    grouped >>= width
    is_first = np.empty(len(grouped), bool)
    is_first[0] = True
    np.not_equal(grouped[1:], grouped[:-1], out=is_first[1:])
    starts = is_first.nonzero()[0]
    sources = np.bitwise_or.reduceat(bits.take(order), starts)
    first = order.take(starts)  # of equal rows the one that comes first
    best = first.argsort()
    return CandidateSet(rows.take(first.take(best)), sources.take(best), names)


def _are_different(rows: Rows) -> bool:
    """Whether no row stands twice among `rows` (n,)."""
    ordered = np.sort(rows)
    return bool((ordered[1:] != ordered[:-1]).all())


@functools.lru_cache(1024)
def _bits(names: tuple[str, ...], wanted: tuple[str, ...]) -> np.uint32:
    """The bits of the wanted ones among the names of retrievers."""
    return np.uint32(sum(1 << k for k, name in enumerate(names) if name in wanted))


@functools.lru_cache(64)  # an entry has up to 23 kB, and few lengths but those of full lists come again
def _in_turn(lengths: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """The order that takes one of each list after the other, the first of all, then the second of all …, over lists of
    these lengths laid end to end; and the bit of each one's list."""
    positions = np.concatenate([np.zeros(0, np.int64), *(np.arange(length) for length in lengths)])
    bits = np.repeat(np.array([1 << k for k in range(len(lengths))], np.uint32), lengths)
    turns = np.argsort(positions, kind="stable")
    return turns, bits.take(turns)
