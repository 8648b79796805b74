"""Runs the server's pipeline over a replay: a person's feed as of any moment of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from feature_repo.repository import EMPTY, Repository
from operators.contract import Record
from recommend import steps
from recommend.catalogue import Catalogue
from recommend.pipeline import Answer, Pipeline
from recommend.query import Query
from recommend.slots import seed_of
from recommend.surface import Surface
from recommend.surfaces import home
from schemas.bundle import Bundle
from schemas.events import Interaction, User
from training.accepted import Arrivals, Log
from training.examples import StageFailed, replay
from training.newcomers import Newcomers
from training.replay import KnownItems

PLAIN = replace(home, rerankers=(), exploration=None)
"""the surface without re-ranking, to see what it costs"""


class ReplayedFeed:
    """Answers for any person as of any moment after the log; `apply` adds events."""

    def __init__(self, bundle: Bundle, log: Log, regions: Mapping[str, str], declared: Repository = EMPTY) -> None:
        """Loads the bundle and replays the log; `regions` is where each user asks from; `declared` has the crosses
        that the bundle's ranker reads.

        Raises BundleError where the server would refuse the bundle.
        """
        catalogue = Catalogue(declared.reads)
        model = catalogue.load(bundle, declared.crosses)
        catalogue.serve(model)
        self._arrivals = Arrivals(log, catalogue.put_item)
        self._model = model
        self._pipeline = Pipeline(catalogue.columns, model)
        world = KnownItems(log.items, model.user_space)
        self._people, self._live = replay(log, world, self._pipeline, self._arrivals, declared=declared)
        self._regions = regions
        self._newcomers = Newcomers(world, declared)

    def apply(self, event: Interaction) -> None:
        """Applies an event."""
        self._live.invalidate(self._live.replay.feed(Record(event)))

    def _advance(self, at: int) -> None:
        self._arrivals.until(at)
        self._live.at(at)

    def popular(self, at: int) -> list[str]:
        """Item ids by the decayed popularity that `/v1/trending` shows, most popular first, met ones included."""
        self._advance(at)
        popular = self._pipeline.popular
        return [popular.columns.ids[row] for row in popular.everywhere()]

    def recommend(self, user_id: str, at: int, n: int = 20, reranked: bool = True) -> list[str]:
        """Item ids of the feed, best first; `at` in epoch ms, never before an earlier call's.

        Raises StageFailed where a stage fell back.
        """
        query = self._query(user_id, at, n)
        feed = self._pipeline.recommend(home if reranked else PLAIN, query)
        _whole(feed.degraded)
        return feed.item_ids

    def reranked(self, user_id: str, at: int, surfaces: Sequence[Surface], n: int = 20) -> list[list[str]]:
        """Item ids of the feed for each of the surfaces, which differ from `home` in their re-rankers alone: candidates
        are found and ranked once. `at` as in `recommend`.

        Raises StageFailed where a stage fell back.
        """
        query = self._query(user_id, at, n)
        begun = self._pipeline.begin(home, query)
        trace = begun.trace
        ranked = steps.rank(home, query, begun.candidates, trace)
        found = [steps.rerank(each, query, ranked, trace).rows.tolist() for each in surfaces]
        _whole(trace.degraded)
        ids = query.columns.ids
        return [[ids[row] for row in rows] for rows in found]

    def newcomer(
        self,
        surface: Surface,
        events: Sequence[Interaction],
        at: int,
        *,
        profile: User | None = None,
        region: str = "",
        excluded: Sequence[str] = (),
        n: int = 20,
    ) -> Answer:
        """The answer to somebody of whom nothing is known but these events, in order of time, and the profile. What
        they do changes nothing of the items. `at` as in `recommend`, not before the last of the events.

        Raises StageFailed where a stage fell back.
        """
        self._advance(at)
        user = self._newcomers.row(events, profile, at)
        rows = np.unique(self._pipeline.columns.rows(excluded))
        query = self._pipeline.query(at=at, user=user, n=n, region=region, excluded=rows, explain="reason")
        answer = self._pipeline.recommend(surface, query)
        _whole(answer.degraded)
        return answer

    def vectors(self, item_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors (n, dim) of known items in the space of the feed, zeros where an item has none."""
        space = self._model.parts(home.name).space
        assert space is not None
        return space.vectors_of(self._pipeline.columns.rows(item_ids))

    def _query(self, user_id: str, at: int, n: int) -> Query:
        self._advance(at)
        return self._pipeline.query(
            at=at, user=self._people.row(user_id, at), n=n, region=self._regions.get(user_id, ""),
            pairs=self._people.pairs(user_id, at), explain="none", seed=seed_of(f"{user_id} {at}"),
        )  # fmt: skip


def _whole(degraded: Sequence[str]) -> None:
    if degraded:
        raise StageFailed(f"{', '.join(degraded)} fell back")
