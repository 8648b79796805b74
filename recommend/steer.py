"""Lowers and raises scores by a person's controls, whatever the surface and its ranker.

    score(c) + spread · (MORE · asked(c) - LESS · max over i of like(c, i))
    like(c, i) = (max(0, cos(c, i)) + |categories of both| / |categories of either|) / 2

`spread` is the difference between the best and the worst score of the candidates, so that a control weighs the same
for every ranker; i are the items of which fewer alike are asked for; asked(c) is 1 for an item of a category or brand
of which more is asked for, and 1/2 of a category that was stated as an interest. Where the model has no vector of one
of the two, like(c, i) is the share of categories alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feature_repo.columns import Rows
from recommend.controls import codes_of
from recommend.query import Query
from recommend.stage import Stage, StageError
from recommend.trace import Trace

LESS, MORE, INTEREST = 1.0, 0.5, 0.25
"""shares of the spread: what is just like a disliked item falls by all of it"""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Steering(Stage):
    """Applies where a control asks for more or for less of something; where it fails, scores stay as they were."""

    name: str = "controls"

    def applies(self, query: Query) -> bool:
        return query.controls.steers

    def adjusted(self, query: Query, rows: Rows, scores: Values) -> Values:
        """The scores (n,) of `rows` (n,) as the person's controls have them."""
        spread = float(scores.max() - scores.min()) if len(scores) else 0.0
        change = MORE * asked(query, rows) - LESS * likeness(query, rows, query.controls.less_like)
        return (scores + (spread or 1.0) * change).astype(np.float32)


STEERING = Steering()


def steered(query: Query, rows: Rows, scores: Values, trace: Trace) -> Values:
    """The scores (n,) as the person's controls have them, as they were where that fails."""

    def work() -> Values:
        found = STEERING.adjusted(query, rows, scores)
        if not np.isfinite(found).all():
            raise StageError("the scores are not finite")
        return found

    found, _ = trace.adjust(STEERING, query, work, len(rows))
    return scores if found is None else found


def asked(query: Query, rows: Rows) -> Values:
    """How much more of each item of `rows` (n,) is asked for, 0 to 1."""
    controls, columns = query.controls, query.columns
    categories, brands = columns.categories.take(rows, axis=0), columns.brand.take(rows)
    found = np.zeros(len(rows), np.float32)
    for names, worth in ((controls.interests, INTEREST / MORE), (controls.more_categories, 1.0)):
        codes = codes_of(columns.category_codes, names)
        found[np.isin(categories, codes).any(axis=1)] = worth
    codes = codes_of(columns.brand_codes, controls.more_brands)
    found[np.isin(brands, codes)] = 1.0
    return found


def likeness(query: Query, rows: Rows, to: Rows) -> Values:
    """How much each item of `rows` (n,) is like the one of `to` that it is most like, 0 to 1; 0 without any."""
    if not len(to) or not len(rows):
        return np.zeros(len(rows), np.float32)
    own, others = query.columns.categories.take(rows, axis=0), query.columns.categories.take(to, axis=0)
    shares = np.stack([_overlap(own, each) for each in others], axis=1)
    cosines = np.maximum(query.vectors(rows) @ query.vectors(to).T, 0.0) if query.parts.space else shares
    both = query.has_vector(rows)[:, None] & query.has_vector(to)[None]
    alike = np.where(both, (cosines + shares) / 2, shares)
    alike[rows[:, None] == to[None]] = 1.0
    most: Values = alike.max(axis=1).astype(np.float32)
    return most


def _overlap(own: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> Values:
    """The Jaccard index of each row of codes (n, 8) and `other` (8,); 0 is no code."""
    known = other[other > 0]
    common = np.isin(own, known).sum(axis=1)
    either = np.count_nonzero(own, axis=1) + len(known) - common
    return (common / np.maximum(either, 1)).astype(np.float32)
