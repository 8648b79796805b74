"""The ranker's inputs: crosses of a person and candidates, computed alike in training and serving.

Each input is one function over all candidates at once. `matrix` stacks them in the order of
`INPUTS`, and those that are declared (`feature_repo.crosses`) after them. A bundle's manifest names the
inputs of each ranker, and a server refuses a ranker of inputs that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from feature_repo.age import ages
from feature_repo.candidates import Candidates, Column, Request, by_code
from feature_repo.columns import Rows
from feature_repo.crosses import Cross
from operators.time import DAY


def similarity(of: Candidates) -> Column:
    """Cosine of user vector and item vector; 0 for a person without one."""
    vector = of.request.vector
    return np.zeros(len(of)) if vector is None else of.vectors @ vector


def recent_mean(of: Candidates) -> Column:
    """Mean signed cosine to the last 20 items."""
    n = len(of.request.recent)
    return np.add.reduce(of.recent_cosines) / np.float32(n) if n else np.zeros(len(of))


def recent_max(of: Candidates) -> Column:
    """Largest signed cosine to any of the last 20 items."""
    return of.recent_cosines.max(axis=0) if len(of.request.recent) else np.zeros(len(of))


def category_affinity(of: Candidates) -> Column:
    """The person's affinity to the candidate's categories, mean over them."""
    user = of.request.user
    return of.category_mean(user["category_affinity"], user["category_affinity_scores"])


def brand_affinity(of: Candidates) -> Column:
    """The person's affinity to the candidate's brand."""
    user, items = of.request.user, of.request.items
    codes = items.brand.take(of.rows)
    return by_code(items.brand_codes, codes, user["brand_affinity"], user["brand_affinity_scores"]).take(codes)


def session_overlap(of: Candidates) -> Column:
    """Share of the candidate's categories met in the current session."""
    names = of.request.user["session_categories"]
    return of.category_mean(names, [1.0] * len(names))


LEAST_POPULAR = -20.0
"""log2 of popularity relative to the most popular item"""


def popularity(of: Candidates) -> Column:
    """log2 decayed popularity, relative to the most popular item; never below LEAST_POPULAR."""
    items = of.request.items
    return np.maximum(items.popularity.take(of.rows) - items.most_popular(), LEAST_POPULAR)


def region_popularity(of: Candidates) -> Column:
    """The same within the person's region; LEAST_POPULAR where the item has no events there."""
    items, region = of.request.items, of.request.region
    values = items.popular_in(region)
    if values is None:
        return np.full(len(of), LEAST_POPULAR)
    return np.maximum(values.take(of.rows) - items.most_popular(region), LEAST_POPULAR)


def trend(of: Candidates) -> Column:
    """log(1 + events of the last 7 days)."""
    return np.log1p(of.request.items.events_7d.take(of.rows))


def ctr(of: Candidates) -> Column:
    """Smoothed click-through rate of the last 7 days."""
    return of.request.items.ctr_7d.take(of.rows)


def age(of: Candidates) -> Column:
    """log(1 + days since the item was created); -1 where that is unknown or in the future."""
    days = ages(of.request.items.created_at.take(of.rows), of.request.at) / DAY
    return np.where(np.isnan(days), -1.0, np.log1p(days))


def history(of: Candidates) -> Column:
    """log(1 + interactions remembered): how much to trust the person's own features."""
    return np.full(len(of), np.log1p(len(of.request.user["recent_items"])))


def session_depth(of: Candidates) -> Column:
    """log(1 + distinct items of the session)."""
    return np.full(len(of), np.log1p(of.request.user["session_items"]))


Input = Callable[[Candidates], Column]

INPUTS: tuple[Input, ...] = (
    similarity,
    recent_mean,
    recent_max,
    category_affinity,
    brand_affinity,
    session_overlap,
    popularity,
    region_popularity,
    trend,
    ctr,
    age,
    history,
    session_depth,
)
NAMES = tuple(f.__name__ for f in INPUTS)


def names(crosses: Sequence[Cross] = ()) -> tuple[str, ...]:
    """The names of the inputs, in their order."""
    return (*NAMES, *(cross.name for cross in crosses))


def named(wanted: Sequence[str], crosses: Sequence[Cross] = ()) -> tuple[Input, ...]:
    """The inputs of these names, in their order. Raises KeyError with a name that is neither built in nor declared."""
    known: dict[str, Input] = {**dict(zip(NAMES, INPUTS, strict=True)), **{cross.name: cross for cross in crosses}}
    return tuple(known[name] for name in wanted)


def matrix(
    request: Request, rows: Rows, crosses: Sequence[Cross] = (), positions: Column | None = None
) -> npt.NDArray[np.float32]:
    """All inputs of the candidates at `rows`: float32 (len(rows), inputs); `positions` as in Candidates."""
    return stack(Candidates(request, rows, positions), (*INPUTS, *crosses))


def stack(candidates: Candidates, inputs: Sequence[Input]) -> npt.NDArray[np.float32]:
    """The values of these inputs, in their order: float32 (candidates, inputs)."""
    rows = candidates.rows
    out = np.empty((len(rows), len(inputs)), np.float32)
    for column, make in enumerate(inputs):
        out[:, column] = make(candidates)
    return out
