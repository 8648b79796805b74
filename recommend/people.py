"""People by where they stand in a model's space: those nearest to a person, or to an item.

Bounded: the person whose last activity is oldest is dropped first, and their label in the index is used again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo import views
from operators.contract import Space, Vector
from recommend.favourites import Likes
from recommend.index import ItemIndex

HALF_LIFE: int = views.USER_VECTOR.half_life
UNMOVED = 0.98
"""cosine to where the index has a person from which on the index is left as it is"""
FIRST = 1024
"""people that there is room for at first"""


class Near(NamedTuple):
    """Somebody near, and the cosine, -1 to 1."""

    user_id: str
    similarity: float
    likes: Likes


def vector_of(row: Mapping[str, Any], space: Space) -> Vector | None:
    """A person's unit vector (dim,) in a space, from a row of `user_activity`: the row's own where that is of the
    space, else made of the recent interactions as operators/vector.py makes it; None where they say nothing."""
    if row["vector_space"] == space.id and len(row["vector"]):
        return np.asarray(row["vector"], np.float32)
    total = np.zeros(space.dim, np.float64)
    times = row["recent_times"]
    for item_id, at, taste in zip(row["recent_items"], times, row["recent_tastes"], strict=True):
        vector = space.vector(item_id) if taste else None
        if vector is not None:
            total += float(taste) * 2.0 ** ((int(at) - int(times[0])) / HALF_LIFE) * vector
    length = float(np.sqrt(total @ total))
    return (total / length).astype(np.float32) if length > 1e-12 else None


class PeopleSpace:
    """People in one space. Any thread may change it, and search it meanwhile."""

    def __init__(self, space_id: str, dim: int, most: int) -> None:
        self.id, self.dim, self._most = space_id, dim, most
        self._writing, self._lock = threading.Lock(), threading.Lock()
        """one change at a time; what searches read"""
        self._index = ItemIndex(dim)
        self._vectors = np.zeros((FIRST, dim), np.float32)
        self._placed = np.zeros((FIRST, dim), np.float32)
        """where the index has each label"""
        self._ids: list[str] = []
        """by label; "" of one that is free"""
        self._free: list[int] = []
        self._of: OrderedDict[str, tuple[int, Likes]] = OrderedDict()
        """user id → label and likes; who was active last is last"""

    def __len__(self) -> int:
        return len(self._of)

    def put(self, user_id: str, vector: npt.NDArray[np.float32], likes: Likes) -> None:
        """Adds or moves a person: unit vector (dim,)."""
        with self._writing:
            with self._lock:
                known = self._of.pop(user_id, None)
                label = self._label() if known is None else known[0]
                self._ids[label], self._vectors[label] = user_id, vector
                self._of[user_id] = label, likes
            if known is None or float(self._placed[label] @ vector) < UNMOVED:
                self._placed[label] = vector
                self._index.add(np.array([label]), vector[None])
            if len(self._of) > self._most:
                self._remove(next(iter(self._of)))

    def remove(self, user_id: str) -> None:
        """Drops a person, if they are there."""
        with self._writing:
            self._remove(user_id)

    def _remove(self, user_id: str) -> None:
        with self._lock:
            known = self._of.pop(user_id, None)
            if known is None:
                return
            self._ids[known[0]] = ""
        self._index.remove(known[0])
        self._free.append(known[0])

    def nearest(self, vector: npt.NDArray[np.float32], k: int) -> list[Near]:
        """Up to k people nearest to a unit vector (dim,), nearest first."""
        labels = self._index.search(vector[None], k)
        if labels is None:
            return []
        with self._lock:
            found = [
                Near(user_id, float(self._vectors[label] @ vector), self._of[user_id][1])
                for label in labels[0].tolist()
                if (user_id := self._ids[label])
            ]
        return sorted(found, key=lambda near: -near.similarity)

    def _label(self) -> int:
        if self._free:
            return self._free.pop()
        label = len(self._ids)
        self._ids.append("")
        if label >= len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._placed = np.concatenate([self._placed, np.zeros_like(self._placed)])
        return label
