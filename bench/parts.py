"""The bare parts of a feed, in a process of their own: Feast read, the retrievers' `knn_query`s, `session.run`."""

from __future__ import annotations

import functools
import gc
import random
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from bench.errors import Unsound
from feature_repo.inputs import matrix
from feature_repo.store import UserReader
from follow.connection import Connection
from follow.follower import Follower
from recommend import filters, retrievers
from recommend.catalogue import Catalogue
from recommend.model import Model
from recommend.pipeline import retrieve
from recommend.popular import Popular
from recommend.query import FeedRequest, Query
from schemas import bundle
from schemas.clock import now_ms
from schemas.topics import ITEM_FEATURES, ITEMS

PEOPLE = 200
"""so many that what one of them touched is out of the processor's caches before it is asked for again"""
READ_WITHIN_S = 300.0


class Inputs(NamedTuple):
    """What a feed of one person hands to the parts."""

    user_id: str
    vector: npt.NDArray[np.float32]
    k: int
    recent: npt.NDArray[np.float32]
    ranked: npt.NDArray[np.float32]


def measure(
    core: int, bundles: Path, feature_store: Path, kafka: str, users: tuple[str, ...], n: int, seconds: float
) -> list[float]:
    """Milliseconds of the parts, one after the other on this core, for people at random.

    Raises Unsound where most of their feeds would not rank `n` candidates.
    """
    psutil.Process().cpu_affinity([core])
    reader, model, people = _opened(bundles, feature_store, kafka, users, n)
    chance = random.Random()
    samples: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        user_id, vector, k, recent, ranked = chance.choice(people)
        started = time.perf_counter()
        reader.read(user_id)
        model.index.nearest(vector, k)
        model.index.nearest(recent, retrievers.SIMILAR + 1)
        model.ranker.score(ranked)
        samples.append((time.perf_counter() - started) * 1000)
    return samples


@functools.cache
def _opened(
    bundles: Path, feature_store: Path, kafka: str, users: tuple[str, ...], n: int
) -> tuple[UserReader, Model, list[Inputs]]:
    """The store and the model, and inputs made from columns that follow the same topics as the server's."""
    found = bundle.current(bundles)
    assert found is not None
    catalogue = Catalogue()
    model = Model.of(found, catalogue.item)
    catalogue.install(model)
    follower = Follower(Connection(kafka), [ITEMS, ITEM_FEATURES], catalogue.on_record).start()
    if not follower.caught_up.wait(READ_WITHIN_S):
        raise Unsound(f"the catalogue has not been read within {READ_WITHIN_S:.0f} s")
    follower.stop()
    columns = catalogue.generation.columns
    reader, popular = UserReader(feature_store, 5.0), Popular(columns, 3600.0)
    people = []
    for user_id in users[:PEOPLE]:
        row = reader.read(user_id)
        assert row is not None
        query = Query(FeedRequest(row, now_ms()), columns, model, popular)
        retrieve(query)
        filters.apply(query)
        people.append(
            Inputs(
                user_id,
                np.asarray(row["vector"], np.float32)[None],
                retrievers.NEAREST + min(len(query.seen), retrievers.ALLOWANCE),
                columns.vectors[query.anchors.rows[: retrievers.RECENTS]],
                matrix(query.ranking, query.rows),
            )
        )
    ranked = float(np.median([len(inputs.ranked) for inputs in people]))
    if ranked < n:
        raise Unsound(f"feeds rank {ranked:.0f} candidates instead of {n}")
    gc.collect()
    gc.freeze()  # as the server does
    return reader, model, people
