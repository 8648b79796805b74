"""Lowers the scores of items that rest (recommend/rotation.py), whatever the surface and its ranker.

    score(c) - spread · rate                       for a resting item
    min over the others - GAP · (1 + rank(c))      where rate is 1: behind all others, in the order that they had

`spread` is the difference between the best and the worst score of the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Mask, Rows
from recommend.among import among
from recommend.query import Query
from recommend.stage import Stage
from recommend.trace import Trace

GAP = 1e-3
"""share of the spread between two items that rest"""
NAMED = 50
"""resting items that a trace names"""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Rotating(Stage):
    """Runs where a surface's rotation lowers and anything rests; where it fails, scores stay as they were."""

    name: str = "rotation"

    def applies(self, query: Query) -> bool:
        return query.rotation is not None and not query.rotation.removes and len(query.resting) > 0

    def adjusted(self, query: Query, rows: Rows, scores: Values) -> tuple[Values, Mask]:
        """The scores (n,) of `rows` (n,) with those that rest lowered, and which do."""
        assert query.rotation
        rests = among(query.columns.hashes.take(rows), query.resting)
        if not rests.any():
            return scores, rests
        spread, found = float(scores.max() - scores.min()) or 1.0, scores.copy()
        if query.rotation.rate < 1 or rests.all():
            found[rests] -= np.float32(spread * query.rotation.rate)
        else:
            places = np.flatnonzero(rests)
            places = places[np.argsort(-scores[places], kind="stable")]
            steps = 1 + np.arange(len(places))
            found[places] = scores[~rests].min() - (spread * GAP * steps).astype(np.float32)
        return found, rests


ROTATING = Rotating()


def rotated(query: Query, rows: Rows, scores: Values, trace: Trace) -> Values:
    """The scores (n,) as the surface's rotation has them, as they were where that fails."""
    result, record = trace.adjust(ROTATING, query, lambda: ROTATING.adjusted(query, rows, scores), len(rows))
    if result is None:
        return scores
    assert record
    found, rests = result
    record.moved = int(np.count_nonzero(rests))
    if record.moved and query.explains_all:
        ids = query.columns.ids
        record.rotated = [ids[row] for row in rows[rests][:NAMED].tolist()]
    return found
