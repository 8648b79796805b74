"""A surface's price level: a small term that prefers cheaper or dearer items among the candidates.

    score(c) + spread · PRICE · level · (2 · rank(price of c) - 1)

`level` is the surface's, -1 (cheaper) to 1 (dearer). `rank` is the share of the priced candidates that cost less, half
of those that cost as much included, 0 … 1: neither the currency nor a single very dear item changes what the term
weighs. `spread` is the difference between the best and the worst score of the candidates, so that the level weighs the
same for every ranker. The term of an item without a price is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.query import Query
from recommend.stage import Stage, StageError
from recommend.surface import Surface
from recommend.trace import Trace

PRICE = 0.1
"""share of the spread: between the cheapest and the dearest candidate lies twice this at a level of 1"""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PriceLevel(Stage):
    """Runs on surfaces that have a level; where it fails, scores stay as they were."""

    name: str = "price_level"

    def adjusted(self, query: Query, rows: Rows, scores: Values, level: float) -> Values:
        """The scores (n,) of `rows` (n,) with the term. Raises StageError where one is not finite."""
        spread = float(scores.max() - scores.min())
        found = (scores + spread * PRICE * level * places(query.columns.price.take(rows))).astype(np.float32)
        if not np.isfinite(found).all():
            raise StageError("the scores are not finite")
        return found


PRICE_LEVEL = PriceLevel()


def priced(surface: Surface, query: Query, rows: Rows, scores: Values, trace: Trace) -> Values:
    """The scores (n,) of `rows` (n,) as the surface's price level has them, as they were where that fails."""
    level = surface.price_level
    if not level or not len(rows):
        return scores
    found, _ = trace.adjust(PRICE_LEVEL, query, lambda: PRICE_LEVEL.adjusted(query, rows, scores, level), len(rows))
    return scores if found is None else found


def places(prices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Where each of the prices (n,) stands among them, -1 for the lowest to 1; 0 where there is none (NaN)."""
    known = np.isfinite(prices)
    found = np.zeros(len(prices))
    own = prices[known]
    if len(own) > 1:
        ordered = np.sort(own)
        below = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right") - 1
        found[known] = below / (len(own) - 1) - 1
    return found
