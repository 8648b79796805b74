"""Rotation: what was shown on a surface several times and not taken rests for a while, and comes back.

    shown in visits  1  2  3 ├──────── rest ────────┤ back
    after=3                  ▲ the third within `rest`: the item rests from the next one on

An item rests where it was shown in `after` visits (half hours, operators/shown.py) of which the first lies within
`rest` of the last, without being taken since, and the last is no longer ago than `rest`. It counts afresh when it comes
back, as the visits from before are older than `rest` by then. Taken is what the person did anything with that speaks
for it: a view, a click, a purchase.

The half hour that goes on counts for nothing on the surface that answers: a list that is asked for again, by a reload
or since an answer was lost, stays as it was. What other surfaces have shown counts at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.hashes import Hashes, hash64
from operators.seen import seen_hashes
from operators.shown import MOST_MS, SEALED, SHOWN, TIMES, VISIT, Showings, showings
from operators.time import days
from recommend.among import among

OWN = "shown_own"
"""field of a row with showings that the server knows of before the stream's row has them (`operators.shown.pack`)"""

NOTHING: Hashes = np.zeros(0, np.uint64)
NO_PLACES = np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How a surface rotates."""

    after: int = 3
    """visits in which an item is shown and not taken"""
    rest: int = days(7)
    """for how long it rests then, ms"""
    rate: float = 1.0
    """by which share of the spread between the best and the worst score of the candidates a resting item is lowered; at
    1 it comes behind all others"""
    removes: bool = False
    """whether resting items are left out, even where fewer are left than were asked for"""
    of: tuple[str, ...] = ()
    """the surfaces whose showings count beside those of the surface itself"""

    def __post_init__(self) -> None:
        """Raises ValueError where a number is out of range."""
        if not 1 <= self.after <= TIMES:
            raise ValueError(f"rotation: after is {self.after}; so many visits of an item are kept: 1 to {TIMES}")
        if not VISIT <= self.rest <= MOST_MS:
            raise ValueError(f"rotation: rest is {self.rest} ms; it is from {VISIT} (half an hour) to {MOST_MS}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rotation: rate is {self.rate}; it is more than 0, and 1 at most")

    def on(self, surface: str) -> Rotation:
        """The same for the surface of this name: it comes first among those whose showings count."""
        return replace(self, of=(surface, *(each for each in self.of if each != surface)))


def resting(user: Mapping[str, Any], at: int, rotation: Rotation) -> Hashes:
    """Hashes of the items that rest at `at`, epoch ms, ascending, from a person's row (field name → value), by the
    showings on the surfaces `rotation.of`.

    Raises StateError where what it has of showings cannot be read.
    """
    if not (user.get(SHOWN) or user.get(SEALED) or user.get(OWN)):
        return NOTHING
    now, rest = at // VISIT, rotation.rest // VISIT
    # What came after `at` counts for nothing: an answer as of an earlier time is as it was.
    found = _between(user, rotation.of[:1], now - 2 * rest, now - 1)
    if len(rotation.of) > 1:
        others = _between(user, rotation.of[1:], now - 2 * rest, now)
        found = Showings(np.concatenate([found.hashes, others.hashes]), np.concatenate([found.visits, others.visits]))
    if not len(found.hashes):
        return NOTHING
    order = np.lexsort((found.visits, found.hashes))
    hashes, visits = found.hashes[order], found.visits[order].astype(np.int64)
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (visits[1:] != visits[:-1])
    hashes, visits = _often(hashes[first], visits[first], rotation.after)
    if len(hashes):  # most people have been shown nothing so often
        kept = visits >= _taken(user, hashes)
        hashes, visits = hashes[kept], visits[kept]
    if len(hashes) < rotation.after:
        return hashes[:0]
    # Sorted by item and visit: the visit that makes an item rest is `after - 1` places behind its first.
    ahead = rotation.after - 1
    last, since = slice(ahead, None), slice(None, len(hashes) - ahead)
    rests = (hashes[last] == hashes[since]) & (visits[last] - visits[since] <= rest) & (now - visits[last] < rest)
    return np.unique(hashes[last][rests])


def since(user: Mapping[str, Any], start: int, surfaces: Collection[str]) -> Hashes:
    """Hashes of the items that were shown on the surfaces from `start` on, epoch ms. Raises as `resting`."""
    return np.unique(_between(user, surfaces, start // VISIT).hashes)


def _between(user: Mapping[str, Any], surfaces: Collection[str], first: int, last: int = 1 << 40) -> Showings:
    """The showings on the surfaces in visits from `first` to `last`."""
    own = user.get(OWN)
    found = showings(user, surfaces, *([own] if own else []))
    inside = (found.visits >= first) & (found.visits <= last)
    return Showings(found.hashes[inside], found.visits[inside])


def _often(hashes: Hashes, visits: npt.NDArray[np.int64], least: int) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Of entries sorted by item those of the items that have `least` at least."""
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])) if len(hashes) else NO_PLACES
    counts = np.diff(np.append(starts, len(hashes)))
    kept = np.repeat(counts >= least, counts)
    return hashes[kept], visits[kept]


def _taken(user: Mapping[str, Any], hashes: Hashes) -> npt.NDArray[np.int64]:
    """The first visit (n,) that counts for each of `hashes` (n,): none before the one in which it was last taken. Of
    what was taken before the recent interactions, only that it was is known: then those from before these do not
    count."""
    found = np.zeros(len(hashes), np.int64)
    times = user["recent_times"]
    if not len(times):
        return found
    met = seen_hashes(user)
    if len(met):
        found[among(hashes, np.sort(met))] = min(times) // VISIT
    recents = zip(user["recent_items"], times, user["recent_tastes"], strict=True)
    last = {hash64(item_id): at // VISIT + 1 for item_id, at, taste in reversed(list(recents)) if taste > 0}
    if last:
        for place in np.flatnonzero(np.isin(hashes, np.fromiter(last, np.uint64, len(last)))).tolist():
            found[place] = last[int(hashes[place])]
    return found
