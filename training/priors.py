"""Fits what the profiles of people say of their taste: the table "priors" of a bundle.

A ridge regression from the attributes of profiles (one column for each `name=value` token, recommend/priors.py) to
people's taste vectors, which are the means of the vectors of the items that they have met, weighted by taste. A token's
coefficients are how people who have it differ from the intercept, which is everybody's taste.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import Ridge

from recommend.priors import TOKENS, VECTORS, tokens_of
from training.accepted import Log
from training.factors import FittedSpace, taste, unit

RIDGE = 20.0
"""people of a token at which what they have in common counts by half"""
FEWEST_PEOPLE = 10
"""of a token, and in all"""
MOST_TOKENS = 1000


def fit(log: Log, space: FittedSpace, until: int | None = None) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays of the table, of the log's first `until` events and the profiles of the people in them; None where
    no token is that of FEWEST_PEOPLE of them."""
    label = {item_id: k for k, item_id in enumerate(space.item_ids)}
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for event in log.interactions[:until]:
        at = label.get(event.item_id or "")
        if at is not None:
            found = sums.setdefault(event.user_id, np.zeros(space.vectors.shape[1]))
            found += taste(event) * space.vectors[at]
    profiles = {user.user_id: user.attributes for user in log.users if user.user_id in sums}
    people = [user_id for user_id in profiles if sums[user_id].any()]
    bags = [tokens_of(profiles[user_id]) for user_id in people]
    counts = Counter(token for bag in bags for token in bag)
    names = sorted(name for name, n in counts.most_common(MOST_TOKENS) if n >= FEWEST_PEOPLE)
    column = {name: k for k, name in enumerate(names)}
    cells = [(row, column[token]) for row, bag in enumerate(bags) for token in bag if token in column]
    rows, columns = zip(*cells, strict=True) if cells else ((), ())
    matrix = sparse.csr_matrix((np.ones(len(cells)), (rows, columns)), (len(bags), len(names)))
    if not names:
        return None
    tastes = unit(np.array([sums[user_id] for user_id in people]))
    model = Ridge(alpha=RIDGE, solver="sparse_cg").fit(matrix, tastes)
    return {TOKENS: np.array(names, np.str_), VECTORS: model.coef_.T.astype(np.float32).reshape(len(names), -1)}
