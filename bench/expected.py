"""What an answer of each bundle has to show, computed from the files of the bundle and the people's rows.

An answer with `explain=full` is checked against the bundle that it names: its scores against the mark of the bundle's
ranker, the cosines that the ranker read against vectors of the bundle, and the items that the search for the person
found against the same search in the bundle's index. Parts of another bundle in the answer show in one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from bench.catalogues import EVENTS_A_USER
from bench.marked import MARKS
from feature_repo import views
from feature_repo.views import TASTE
from operators.contract import Vector
from operators.keyed import UserOperator
from operators.seen import seen_hashes
from recommend.index import ItemIndex, Labels
from recommend.item_space import LABEL_COST
from recommend.retrievers import NEAREST
from recommend.retrievers.allowance import ALLOWANCE
from schemas import bundle
from training.replay import KnownItems

Vectors = npt.NDArray[np.float32]
TOLERANCE = 1e-3
"""of a cosine; two vectors of different spaces differ by a tenth and more"""
FEWEST_ITEMS = LABEL_COST * (NEAREST + EVENTS_A_USER) + 1
"""of fewer, a server searches without the index"""
"""of fewer items, many would pass as somebody's neighbours"""
RECENT = 20
"""interactions that the ranker's input `recent_max` reads"""


class ShownDetail(Struct):
    """How an item came into the answer."""

    sources: list[str]
    features: dict[str, float]


class ShownItem(Struct):
    """An item of an answer."""

    item_id: str
    score: float
    detail: ShownDetail


class FullAnswer(Struct):
    """The fields of a feed with `explain=full` that are checked."""

    user_id: str
    items: list[ShownItem]
    model_version: str | None
    variant: str
    degraded: list[str]


decode = msgspec.json.Decoder(FullAnswer).decode


@dataclass(frozen=True)
class PersonInSpace:
    """A person's vector (dim,), the labels that the search finds, and signed vectors (k, dim) of the last
    interactions."""

    vector: Vectors
    nearest: Labels
    recent: Vectors


@dataclass(frozen=True)
class ExpectedModel:
    """A bundle as it has to answer. `users` (people, dim), `nearest` and `recent` are in the order of `place`."""

    path: Path
    raised: float
    place: Mapping[str, int]
    users: Vectors
    nearest: Sequence[Labels]
    """labels that the search for each person finds"""
    recent: Sequence[tuple[Sequence[int], Sequence[float]]]
    """labels and signs of each person's last interactions"""

    @cached_property
    def vectors(self) -> Vectors:
        """Item vectors (n, dim), memory-mapped."""
        return bundle.load(self.path).space().vectors

    def person(self, user_id: str) -> PersonInSpace:
        """What is expected of one person."""
        at = self.place[user_id]
        labels, signs = self.recent[at]
        signed = self.vectors[list(labels)] * np.array(signs, np.float32)[:, None]
        return PersonInSpace(self.users[at], self.nearest[at], signed)


def mixed(answer: FullAnswer, expected: ExpectedModel) -> list[str]:
    """The reasons for which an answer, which is not degraded, is not made of the expected bundle's parts alone."""
    person = expected.person(answer.user_id)
    labels = [label_of(shown.item_id) for shown in answer.items]
    near = np.isin(labels, person.nearest)
    vectors = expected.vectors[labels]
    cosines = vectors @ person.vector
    found = set()
    for shown, cosine, recent, is_near in zip(answer.items, cosines, vectors @ person.recent.T, near, strict=True):
        features = shown.detail.features
        if abs(shown.score - expected.raised) >= MARKS / 2:
            found.add("scored by another bundle's ranker")
        if abs(features["similarity"] - cosine) > TOLERANCE:
            found.add("the person's or the item's vector is of another space")
        if abs(features["recent_max"] - recent.max()) > TOLERANCE:
            found.add("the vectors of recent items are of another space")
        if "nearest" in shown.detail.sources and not is_near:
            found.add("an item was found that this bundle's index does not lead to")
    return sorted(found)


def label_of(item_id: str) -> int:
    """The label of an item of `bench.catalogues.catalogue`, in every bundle over it."""
    return int(item_id[1:])


class LabelledSpace:
    """A bundle's space whose items are those of `bench.catalogues.catalogue`. Implements `operators.contract.Space`."""

    def __init__(self, space_id: str, vectors: Vectors) -> None:
        self.id, self.dim = space_id, vectors.shape[1]
        self._vectors = vectors

    def vector(self, item_id: str) -> Vector | None:
        return self._vectors[label_of(item_id)]


def expect(path: Path, raised: float, rows: Mapping[str, Mapping[str, Any]]) -> ExpectedModel:
    """What the bundle at `path` has to answer to people, whose rows of the online store are given by user id."""
    stored = bundle.load(path).space()
    index = ItemIndex(stored.part.dim, stored.index, stored.part.items)
    space = LabelledSpace(stored.part.id, stored.vectors)
    operator = UserOperator(views.user, KnownItems())
    users = np.empty((len(rows), space.dim), np.float32)
    recent, nearest = [], []
    for at, row in enumerate(rows.values()):
        state = operator.of_row(row)
        operator.embed(state, space)
        users[at] = operator.vector(state)["vector"]
        found = index.search(users[at][None], NEAREST + min(len(seen_hashes(row)), ALLOWANCE))
        assert found is not None
        nearest.append(found[0])
        labels = [label_of(item_id) for item_id in row["recent_items"][:RECENT]]
        recent.append((labels, [float(np.sign(TASTE.get(kind, 0.0))) for kind in row["recent_types"][:RECENT]]))
    return ExpectedModel(path, raised, {user: at for at, user in enumerate(rows)}, users, nearest, recent)
