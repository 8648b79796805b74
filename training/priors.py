"""Fits the table "priors" of a bundle: how many people have met each item, what profiles say of taste, and how much of
popularity lasts (training/lasting.py).

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

from feature_repo.views import MET
from recommend.priors import LASTING, POPULARITY, TOKENS, VECTORS, tokens_of
from training import lasting
from training.accepted import Log
from training.factors import FittedSpace, taste, unit

RIDGE = 20.0
"""people of a token at which what they have in common counts by half"""
FEWEST_PEOPLE = 10
"""of a token, and in all"""
MOST_TOKENS = 1000


def fit(log: Log, space: FittedSpace) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the table, in the space, of the log's events and profiles."""
    label = {item_id: k for k, item_id in enumerate(space.item_ids)}
    sums: dict[str, npt.NDArray[np.float64]] = {}
    met: set[tuple[str, int]] = set()
    for event in log.interactions:
        at = label.get(event.item_id or "")
        if at is not None and event.event_type in MET:
            met.add((event.user_id, at))
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
    people_of = np.bincount([at for _, at in met], minlength=len(label)) + 1.0
    vectors = np.zeros((0, space.vectors.shape[1]), np.float32)
    if names:
        tastes = unit(np.array([sums[user_id] for user_id in people]))
        model = Ridge(alpha=RIDGE, solver="sparse_cg").fit(matrix, tastes)
        vectors = model.coef_.T.astype(np.float32).reshape(len(names), -1)
    return {
        POPULARITY: np.log2(people_of / people_of.max(initial=1.0)).astype(np.float32),
        TOKENS: np.array(names, np.str_),
        VECTORS: vectors,
        LASTING: np.array([lasting.share(log)], np.float32),
    }
