"""Fits item vectors: a factorization of interactions, combined with the items' content.

Both are unit vectors of one space. ALS over interactions gives behaviour vectors; a ridge regression from items' tokens
to these gives token vectors. An item's vector is the mean of its behaviour vector, weighted by its events, and its
content vector, weighted by TRUST; without an event it is the content vector, computed as serving does.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from scipy import sparse
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from feature_repo.views import INTEREST, TASTE
from operators.contract import Signal, Weights
from operators.decay import weight_of
from operators.space import LEARNED, Content, origin, tokens
from schemas.events import Interaction, Item

Vectors = npt.NDArray[np.float32]

ITERATIONS = 15
REGULARIZATION = 0.1
ALPHA = 1.0
RIDGE = 10.0
TRUST = 10.0
"""events at which an item's behaviour and content count alike"""
MAX_TOKENS = 50_000
FAINT = 0.1
"""least weight of an event, also of one that says nothing good of taste: an item's place depends on who met it at
all"""


@dataclass(frozen=True)
class FittedSpace:
    """A fitted embedding space: item vectors (items, dim) of length 1, their origins (items,), and
    token vectors (tokens, dim), as a bundle holds them."""

    item_ids: list[str]
    vectors: Vectors
    origins: npt.NDArray[np.uint64]
    tokens: list[str]
    content: Vectors

    @cached_property
    def id(self) -> str:
        """A hash of the space's vectors: equal vectors have one id, whenever they were fitted."""
        digest = hashlib.sha256()
        for names, array in ((self.item_ids, self.vectors), (self.tokens, self.content)):
            digest.update("\0".join(names).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(self.origins.tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def of_content(self) -> Content:
        """The vectors of content that the space has."""
        return Content(self.tokens, self.content, self.vectors.shape[1])


def fit(
    interactions: Iterable[Interaction],
    items: Sequence[Item],
    dim: int = 64,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> FittedSpace:
    """The vectors of a log and a catalogue; an item without events, categories, title and attributes has none.

    `progress` is called with the share done, 0 to 1. Works for logs of any size, down to none.
    """
    matrix, known = met(interactions)
    factors = factorize(matrix, dim, seed, progress)
    events = np.asarray((matrix > 0).sum(axis=0), np.float64).ravel()
    catalogue = {item.item_id: item for item in items}
    ids = list(dict.fromkeys([*known, *catalogue]))
    counts = np.concatenate([events, np.zeros(len(ids) - len(known))])
    behaviour = np.concatenate([factors, np.zeros((len(ids) - len(known), dim), np.float32)])
    bags, names = token_matrix([catalogue.get(i) for i in ids])
    content = fit_content(bags, behaviour, counts, seed)
    vectors = unit(unit(behaviour) * counts[:, None] + unit(np.asarray(bags @ content)) * TRUST).astype(np.float32)
    origins = np.full(len(ids), LEARNED)
    of = Content(names, content, dim)
    for row in np.flatnonzero((counts == 0) | ~behaviour.any(axis=1)).tolist():
        bag = tokens(catalogue[ids[row]]) if ids[row] in catalogue else []
        vector = of.bag(bag)
        vectors[row], origins[row] = 0.0 if vector is None else vector, origin(bag)
    placed = np.linalg.norm(vectors, axis=1) > 0.5
    item_ids = [i for i, has in zip(ids, placed, strict=True) if has]
    return FittedSpace(item_ids, vectors[placed], origins[placed], names, content)


def met(interactions: Iterable[Interaction]) -> tuple[sparse.csr_matrix, list[str]]:
    """(people × items, weights of taste; item ids). Of repeated events the strongest counts."""
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    weights: dict[tuple[int, int], float] = {}
    for event in interactions:
        if not event.item_id or (event.event_type not in INTEREST and event.event_type not in TASTE):
            continue
        weight = max(taste(event), FAINT)
        cell = users.setdefault(event.user_id, len(users)), items.setdefault(event.item_id, len(items))
        weights[cell] = max(weights.get(cell, 0.0), weight)
    rows, columns = zip(*weights, strict=True) if weights else ((), ())
    shape = (len(users), len(items))
    return sparse.csr_matrix((list(weights.values()), (rows, columns)), shape, np.float32), list(items)


def taste(event: Interaction) -> float:
    """The event's weight in the user vector: the same scale in training and in the stream."""
    return weighed(TASTE, event)


def weighed(weights: Weights, event: Interaction) -> float:
    """The event's weight by its type, and the rating where it is one, as the stream has it."""
    rating = event.properties.get("rating")
    stars = float(rating) if isinstance(rating, (int, float)) else None
    return weight_of(weights, Signal(event.event_type, event.timestamp, rating=stars))


def factorize(matrix: sparse.csr_matrix, dim: int, seed: int, progress: Callable[[float], None]) -> Vectors:
    """Item factors (items, dim) by implicit ALS (Hu, Koren and Volinsky, ICDM 2008)."""
    if not matrix.nnz:
        return np.zeros((matrix.shape[1], dim), np.float32)
    with threadpool_limits(1, "blas"):  # implicit runs threads of its own
        model: Any = AlternatingLeastSquares(
            factors=dim, regularization=REGULARIZATION, alpha=ALPHA, iterations=ITERATIONS, random_state=seed
        )
        model.fit(
            matrix,
            show_progress=False,
            callback=lambda iteration, *_: progress((iteration + 1) / ITERATIONS),
        )
    return np.asarray(model.item_factors, np.float32)


def token_matrix(items: Sequence[Item | None]) -> tuple[sparse.csr_matrix, list[str]]:
    """(items × tokens of 0 and 1, token names); the rarest tokens beyond MAX_TOKENS are left out."""
    bags = [tokens(item) if item else [] for item in items]
    found = Counter(token for bag in bags for token in bag)
    names = sorted(sorted(found, key=lambda t: (-found[t], t))[:MAX_TOKENS])
    column = {name: k for k, name in enumerate(names)}
    cells = [(row, column[t]) for row, bag in enumerate(bags) for t in bag if t in column]
    rows, columns = zip(*cells, strict=True) if cells else ((), ())
    shape = (len(bags), len(names))
    return sparse.csr_matrix((np.ones(len(cells), np.float32), (rows, columns)), shape), names


def fit_content(bags: sparse.csr_matrix, behaviour: Vectors, counts: Any, seed: int) -> Vectors:
    """Token vectors (tokens, dim) whose sums come near the items' unit vectors, in the least squares
    sense; an item counts by its events, up to TRUST of them."""
    weights = np.minimum(counts, TRUST)
    if not bags.shape[1] or not weights.any():
        # Nothing to learn from: tokens get places at random, so that items that share some are neighbours.
        chance = np.random.default_rng(seed)
        return unit(chance.standard_normal((bags.shape[1], behaviour.shape[1]))).astype(np.float32)
    known = weights > 0
    model = Ridge(alpha=RIDGE, fit_intercept=False, solver="sparse_cg", tol=1e-3)
    model.fit(bags[known], unit(behaviour)[known], sample_weight=weights[known] / TRUST)
    return np.asarray(model.coef_.T, np.float32).reshape(bags.shape[1], behaviour.shape[1])


def unit(vectors: Any) -> npt.NDArray[np.floating[Any]]:
    """Rows scaled to length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 1e-9, lengths, 1.0))
