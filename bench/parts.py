"""The bare parts of a feed, timed in a process of their own: Feast read, retrievers' `knn_query`s, `session.run`."""

from __future__ import annotations

import functools
import gc
import random
import time
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from bench.errors import Unsound
from bench.quiet import quiet
from feature_repo.inputs import matrix
from feature_repo.store import UserReader
from follow.connection import Connection
from follow.follower import Follower
from recommend.model import Model
from recommend.pipeline import Pipeline
from recommend.popular import Popular
from recommend.retrievers import NEAREST, RECENTS, SIMILAR
from recommend.retrievers.allowance import allowance
from recommend.surfaces import home
from schemas import bundle
from schemas.clock import now_ms
from schemas.topics import ITEM_FEATURES, ITEMS
from serving.catalogue import LiveCatalogue

PEOPLE = 200
"""so many that what one of them touched is out of the processor's caches before it is used again"""
READ_WITHIN_S = 900.0
LARGE = 10_000
"""containers with more elements are not searched for arrays"""
CANDIDATES = home.ranked


class PartsSource(NamedTuple):
    """The stack that the parts are read from, and the people."""

    bundles: Path
    feature_store: Path
    kafka: str
    users: tuple[str, ...]


class Inputs(NamedTuple):
    """The arguments of the parts in one person's feed."""

    user_id: str
    vector: npt.NDArray[np.float32]
    k: int
    recent: npt.NDArray[np.float32]
    ranked: npt.NDArray[np.float32]


class Opened(NamedTuple):
    """The open resources of this process; `arrays` is the size of the columns, vectors and index in bytes."""

    reader: UserReader
    model: Model
    people: list[Inputs]
    ranked: float
    arrays: int


def measure(core: int, source: PartsSource, seconds: float) -> list[float]:
    """Milliseconds of the parts, one after the other on this core, for people at random."""
    psutil.Process().cpu_affinity([core])
    reader, model, people, _, _ = _opened(source)
    chance = random.Random()
    parts = model.parts(home.name)
    assert parts.space is not None
    assert parts.space.index is not None
    assert parts.ranker is not None
    index, ranker = parts.space.index, parts.ranker
    samples: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        user_id, vector, k, recent, ranked = chance.choice(people)
        started = time.perf_counter()
        reader.read(user_id)
        index.search(vector, k)
        index.search(recent, SIMILAR + 1)
        ranker.score(ranked)
        samples.append((time.perf_counter() - started) * 1000)
    return samples


def sizes(source: PartsSource) -> tuple[float, int]:
    """(median number of candidates that a feed ranks, bytes of the arrays)."""
    opened = _opened(source)
    return opened.ranked, opened.arrays


@functools.cache
def _opened(source: PartsSource) -> Opened:
    """The store and the model, and inputs made from columns that follow the same topics as the server's.

    Raises Unsound where the catalogue cannot be read.
    """
    quiet()
    bundles, feature_store, kafka, users = source
    found = bundle.current(bundles)
    assert found is not None
    catalogue = LiveCatalogue()
    model = catalogue.load(found)
    catalogue.serve(model)
    follower = Follower(Connection(kafka), [ITEMS, ITEM_FEATURES], catalogue.on_record).start()
    if not follower.caught_up.wait(READ_WITHIN_S):
        raise Unsound(f"the catalogue has not been read within {READ_WITHIN_S:.0f} s")
    follower.stop()
    columns = catalogue.columns
    reader = UserReader(feature_store, 5.0)
    pipeline = Pipeline(columns, model, Popular(columns, time.monotonic, 3600.0))
    people = []
    for user_id in users[:PEOPLE]:
        row = reader.read(user_id)
        assert row is not None
        query = pipeline.query(at=now_ms(), user=row)
        shortlist = pipeline.begin(home, query).candidates
        people.append(
            Inputs(
                user_id,
                np.asarray(row["vector"], np.float32)[None],
                NEAREST + allowance(query),
                query.vectors(query.anchors.rows[:RECENTS]),
                matrix(query.ranking, shortlist.rows),
            )
        )
    ranked = float(np.median([len(inputs.ranked) for inputs in people]))
    index = sum(file.stat().st_size for file in found.path.rglob("*.hnsw"))
    arrays = array_bytes(catalogue, model) + index
    gc.collect()
    gc.freeze()  # as the server does
    return Opened(reader, model, people, ranked, arrays)


def array_bytes(*roots: object) -> int:
    """Bytes of all NumPy arrays that can be reached from the roots, each memory block once."""
    blocks: dict[int, int] = {}
    seen: set[int] = set()
    todo: list[Any] = list(roots)
    skipped = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.FrameType)
    while todo:
        found = todo.pop()
        if id(found) in seen or isinstance(found, skipped):
            continue
        seen.add(id(found))
        if isinstance(found, np.ndarray):
            base = _base(found)
            blocks[base.__array_interface__["data"][0]] = base.nbytes
        elif not (isinstance(found, (dict, list, set, tuple)) and len(found) > LARGE):
            todo += gc.get_referents(found)
    return sum(blocks.values())


def _base(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
