"""One impression under comparison: what a server can have known when it was served, beside what it logged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo.columns import ItemColumns
from feature_repo.ranking import matrix
from operators.space import BundleSpace
from schemas.events import FLOAT_BYTES, Impression
from serving.query import FeedRequest, ranking_of

TOLERANCE = 1e-5

Matrix = npt.NDArray[np.float32]
Features = dict[str, Any]


@dataclass
class Watch:
    """One impression, and what a server can have known when it was served."""

    shown: Impression
    people: list[Features]
    frames: list[ItemColumns] = field(default_factory=list)
    leaders: list[dict[str, float]] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    """by item, how many came meanwhile"""

    def look(self, columns: ItemColumns) -> None:
        """Takes the items as they are now."""
        recent = (item_id for person in self.people for item_id in person["recent_items"])
        self.frames.append(columns.only([*self.shown.items, *recent]))
        self.hear(columns.leaders)

    def hear(self, leaders: dict[str, float]) -> None:
        """Takes the popularity of those in the lead."""
        own = {region: leaders[region] for region in ("", self.shown.region or "") if region in leaders}
        if own not in self.leaders:
            self.leaders.append(own)

    def inputs(self, person: Features, frame: ItemColumns, space: BundleSpace) -> Matrix:
        """What the ranker is given of the shown items (n, inputs)."""
        request = FeedRequest(person, self.shown.timestamp, self.shown.region or "")
        return matrix(ranking_of(request, frame, space), frame.rows(self.shown.items))

    def judge(self, space: BundleSpace) -> npt.NDArray[np.int64]:
        """0 equal, 1 fresh, 2 unordered, 3 different: one for each cell."""
        logged = logged_of(self.shown)
        found = self.inputs(self.people[0], self.frames[-1], space)
        verdict = np.where(_same(found, logged), 0, 3)
        if not verdict.any():
            return verdict
        lowest, highest = found.copy(), found.copy()
        for person, frame, leaders in product(self.people, self.frames[::-1], self.leaders[::-1]):
            frame.leaders = leaders
            found = self.inputs(person, frame, space)
            verdict[(verdict == 3) & _same(found, logged)] = 1
            if not (verdict == 3).any():
                return verdict
            np.minimum(lowest, found, out=lowest)
            np.maximum(highest, found, out=highest)
        unordered = np.array([self.events[item_id] > 1 for item_id in self.shown.items])[:, None]
        within = (logged >= lowest) & (logged <= highest)
        verdict[(verdict == 3) & (lowest < highest) & (unordered | within)] = 2
        return verdict


def _same(found: Matrix, logged: Matrix) -> npt.NDArray[np.bool_]:
    return np.isclose(found, logged, rtol=TOLERANCE, atol=TOLERANCE)


def logged_of(shown: Impression) -> Matrix:
    """The ranker's inputs as they were served (items, inputs)."""
    assert shown.features is not None
    width = len(shown.features) // FLOAT_BYTES // len(shown.items)
    return np.frombuffer(shown.features, "<f4").reshape(len(shown.items), width)
