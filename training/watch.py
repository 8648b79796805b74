"""Compares one impression's logged ranker inputs with every value that a server can have had when it served it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_repo.candidates import Candidates, Request, no_pairs
from feature_repo.columns import ItemColumns
from feature_repo.inputs import INPUTS, NAMES, matrix
from feature_repo.item_vectors import HeldVectors
from operators.contract import Vector
from recommend.ranking import ranking_of
from schemas.events import Impression
from training.in_force import Served
from training.live import LivePeople

TOLERANCE = 1e-5
POPULARITY = slice(NAMES.index("popularity"), NAMES.index("region_popularity") + 1)
"""the inputs that compare an item with the most popular one"""

Matrix = npt.NDArray[np.float32]
Features = dict[str, Any]


class Declared(NamedTuple):
    """A person's declared features in the store at one moment."""

    own: Features
    """by `Value.key`"""
    pairs: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """view → second key → field name → value, of the shown items' keys"""


@dataclass
class Watch:
    """One impression, and the states that a server can have read when it served it: `people` are the person's own rows,
    newest first; the lists below are recorded during the replay, newest last."""

    shown: Impression
    served: Served
    people: list[Features]
    frames: list[ItemColumns] = field(default_factory=list)
    leaders: list[dict[str, float]] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    """by item, events in the time compared"""
    topics: set[str] = field(default_factory=set)
    """of the person's events in the time compared"""

    def snapshot(self, columns: ItemColumns) -> None:
        """Records the shown items as they are now."""
        self.frames.append(columns.subset(self._vectors))
        self.record_leaders(columns.leaders)

    def record_leaders(self, leaders: dict[str, float]) -> None:
        """Records the popularity of the most popular items."""
        own = {region: leaders[region] for region in ("", self.shown.region or "") if region in leaders}
        if own not in self.leaders:
            self.leaders.append(own)

    def record_declared(self, people: LivePeople, at: int) -> None:
        """Records the person's declared features as they are now; needs an earlier `snapshot`."""
        user_id = self.shown.user_id
        read = people.pairs(user_id, at)
        found = Declared(
            people.declared(user_id, at), {view: read(view, names) for view, names in self._second_keys.items()}
        )
        self.declared = [*(known for known in self.declared if known != found), found]

    def verdicts(self) -> npt.NDArray[np.int64]:
        """0 equal, 1 fresh, 2 unordered, 3 different: one for each cell (items, the bundle's names)."""
        logged = self.served.logged(self.shown)
        assert logged is not None
        found = self._inputs(self.people[0], self.frames[-1], self.declared[-1])
        verdict = np.where(_same(found, logged), 0, 3)
        lowest, highest = found.copy(), found.copy()
        for columns, found in self._others():
            unsettled = verdict[:, columns] == 3
            if not unsettled.any():
                continue
            verdict[:, columns] = np.where(unsettled & _same(found, logged[:, columns]), 1, verdict[:, columns])
            lowest[:, columns] = np.minimum(lowest[:, columns], found)
            highest[:, columns] = np.maximum(highest[:, columns], found)
            if not (verdict == 3).any():
                break
        # Counts lie between the ends whatever the order; a share of counts can lie a little beyond.
        margin = np.where(self._unordered(), highest - lowest, 0)
        between = (logged >= lowest - margin) & (logged <= highest + margin)
        verdict[(verdict == 3) & (lowest < highest) & between] = 2
        return verdict

    def _others(self) -> Iterator[tuple[slice, Matrix]]:
        """What else a server can have read, newest first: columns of the matrix, and their values.

        An input depends on items, on the person, or on the most popular items: only popularity depends on two of
        these, so the others need not be tried in combination.
        """
        people, declared, leaders = self.people, self.declared[::-1], self.leaders[::-1]
        frames = self.frames[::-1]
        for n in range(max(len(frames), len(people), len(declared))):
            person, known = people[n % len(people)], declared[n % len(declared)]
            yield slice(None), self._inputs(person, frames[n % len(frames)], known)
        for frame in frames:
            candidates = self._candidates(people[0], frame, declared[0])
            for frame.leaders in leaders:
                yield POPULARITY, np.column_stack([make(candidates) for make in INPUTS[POPULARITY]]).astype(np.float32)

    def _inputs(self, person: Features, frame: ItemColumns, declared: Declared) -> Matrix:
        """The ranker's inputs of the shown items (n, inputs)."""
        of = self._candidates(person, frame, declared)
        return matrix(of.request, of.rows, self.served.crosses)

    def _candidates(self, person: Features, frame: ItemColumns, declared: Declared) -> Candidates:
        shown, space = self.shown, self.served.space
        known = person["consent"]  # without consent, a person is served as an unknown one
        request = ranking_of(
            person | declared.own if known else person,
            frame,
            self._held(frame),
            space.content,
            shown.timestamp,
            shown.region or "",
            shown.device or "",
            pairs=(lambda view, names: declared.pairs[view]) if known else no_pairs,
        )
        return Candidates(request, frame.rows(shown.items))

    def _held(self, frame: ItemColumns) -> HeldVectors:
        """The vectors of the frame's rows."""
        vectors = np.zeros((frame.n, self.served.space.dim), np.float32)
        for row, item_id in enumerate(frame.ids):
            vector = self._vectors[item_id]
            if vector is not None:
                vectors[row] = vector
        return HeldVectors(self.served.space.id, vectors)

    def _unordered(self) -> npt.NDArray[np.bool_]:
        """Which cells (items, names) depend on events of unknown order: those of one item, from many people, and those
        of the person in several topics."""
        items = np.array([self.events[item_id] > 1 for item_id in self.shown.items])
        of_person = [
            bool(cross.values) and all(value.entity.of_user for value in cross.values) for cross in self.served.crosses
        ]
        return np.where([False] * len(NAMES) + of_person, len(self.topics) > 1, items[:, None])

    @cached_property
    def _vectors(self) -> dict[str, Vector | None]:
        """Of the shown items and those that the person met last, in the space that the impression was made in."""
        recent = (item_id for person in self.people for item_id in person["recent_items"])
        return {item_id: self.served.space.vector(item_id) for item_id in (*self.shown.items, *recent)}

    @cached_property
    def _second_keys(self) -> dict[str, list[str]]:
        """Views of pairs that are read → the shown items' keys in them."""
        frame = self.frames[0]
        candidates = Candidates(Request({}, frame, self.shown.timestamp), frame.rows(self.shown.items))
        read = [value for cross in self.served.crosses for value in cross.values]
        return {value.entity.view: candidates.names(value.second) for value in read if value.second}


def _same(found: Matrix, logged: Matrix) -> npt.NDArray[np.bool_]:
    return np.isclose(found, logged, rtol=TOLERANCE, atol=TOLERANCE)
