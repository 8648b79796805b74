"""Fits how much of an item's popularity lasts: the share of its popularity of all times in the prior for new people.

A catalogue of films is popular for years, one of news for hours. What people who had never been seen before meet after
a cut of the log, before the next cut, is modelled as drawn with chances proportional to 2^(a · lasting + b · decayed),
both log2 popularities of before the cut, relative to the most popular item: a conditional logit. Its maximum
likelihood, over several cuts at once, gives a and b; the share is a / (a + b).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from feature_repo.inputs import LEAST_POPULAR
from feature_repo.views import INTEREST, MET, POPULARITY
from recommend.priors import EVEN
from training.accepted import Log
from training.factors import weighed

CUTS = np.arange(10, 20) / 20
"""shares of the log that are before a cut; what is foretold comes before the next one"""
COUNTED = MET | INTEREST.keys()
FEWEST = 1000
"""items met by new people after the cuts, below which the share is EVEN"""

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Drawn(NamedTuple):
    """What new people met after one cut."""

    popularity: Floats
    """(2, items): lasting and decayed, log2"""
    met: Floats
    """(items,): how many of the new people met each item"""


def share(log: Log) -> float:
    """The share, 0 to 1; EVEN where new people have met too little, or nothing that popularity foretells."""
    met = _Events.of(log)
    cuts = [int(np.searchsorted(met.number, log.cut(cut))) for cut in (*CUTS, 1.0)]
    drawn = [_drawn(met, cut, end) for cut, end in pairwise(cuts) if cut]
    if sum(each.met.sum() for each in drawn) < FEWEST:
        return EVEN
    fitted = minimize(_loss, np.full(2, 0.5), drawn, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 2)
    lasting, decayed = fitted.x
    return float(lasting / (lasting + decayed)) if lasting + decayed > 0 else EVEN


class _Events(NamedTuple):
    """The events by which somebody met an item or that make it popular, (n,) each, in the order of the log."""

    number: Codes
    """of the event in the log"""
    person: Codes
    item: Codes
    at: Codes
    """effective time, epoch ms"""
    meets: Codes
    """1 of events by which a person has met the item, 0 of others that make it popular"""
    weight: Floats
    """in the decayed popularity"""

    @classmethod
    def of(cls, log: Log) -> _Events:
        people: dict[str, int] = {}
        items: dict[str, int] = {}
        found = [
            (
                number, people.setdefault(event.user_id, len(people)), items.setdefault(event.item_id, len(items)), at,
                event.event_type in MET, max(0.0, weighed(POPULARITY.weights, event)),
            )
            for number, (event, at) in enumerate(zip(log.interactions, log.times, strict=True))
            if event.item_id and event.event_type in COUNTED
        ]  # fmt: skip
        table = np.array(found, np.float64).reshape(-1, 6)  # exact: times of today are far below 2**53
        number, person, item, at, meets = table[:, :5].astype(np.int64).T
        return cls(number, person, item, at, meets, table[:, 5])


def _drawn(met: _Events, cut: int, end: int) -> Drawn:
    """Of the first `cut` events, and of the new people's up to `end`."""
    items = int(met.item[:cut].max()) + 1
    age = (met.at[cut - 1] - met.at[:cut]) / POPULARITY.half_life
    decayed = np.bincount(met.item[:cut], met.weight[:cut] * np.exp2(-age), items).astype(np.float64)
    meets = met.meets.astype(bool)
    before, new = meets.copy(), meets & ~np.isin(met.person, met.person[:cut]) & (met.item < items)
    before[cut:], new[end:] = False, False
    lasting = _people(met.person[before], met.item[before], items) + 1.0
    after = _people(met.person[new], met.item[new], items)
    return Drawn(np.stack([_log(lasting), _log(decayed)]), after)


def _people(person: Codes, item: Codes, items: int) -> Floats:
    """How many people met each item (items,)."""
    pairs = np.unique(person * items + item)
    return np.bincount(pairs % items, minlength=items).astype(np.float64)


def _log(counts: Floats) -> Floats:
    return np.log2(np.maximum(counts / max(counts.max(), 1e-300), 2.0**LEAST_POPULAR))


def _loss(weights: Floats, drawn: Sequence[Drawn]) -> tuple[float, Floats]:
    """Negative log-likelihood and its gradient."""
    loss, gradient = 0.0, np.zeros(2)
    for popularity, met in drawn:
        logits = np.log(2.0) * (weights @ popularity)
        chances = np.exp(logits - logits.max())
        total = chances.sum()
        loss += met.sum() * (np.log(total) + logits.max()) - met @ logits
        gradient += np.log(2.0) * (met.sum() * (popularity @ (chances / total)) - popularity @ met)
    return loss, gradient
