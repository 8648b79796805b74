"""Trains the models of a log and publishes them as a bundle.

    first 80 % of the log ──> vectors ──┐
    last 20 %, replayed moment by moment ──> examples ──> ranker ──┐
    the whole log ──> vectors ──> index ───────────────────────────┴──> bundle

The ranker is fitted over vectors of the events before its examples, then serves over vectors of the
whole log. The two spaces are rotations of one another; its inputs are cosines, which mean the same in both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from feature_repo.inputs import NAMES, names
from feature_repo.repository import EMPTY, Repository
from recommend.priors import PRIORS
from schemas.errors import FreshetError
from schemas.events import Impression, Interaction, Item, User
from schemas.manifest import Manifest, Use
from schemas.publish import publish
from training import examples, factors, priors, ranker
from training.accepted import Log
from training.examples import Group
from training.factors import FittedSpace, Vectors

PREFIX = 0.8
"""share of the log that the vectors of the ranker's examples know"""
MOMENTS = 6000
SPACE, RANKER = "items", "feed"
"""names of the bundle's parts"""
M, EF_CONSTRUCTION = 16, 200
"""links a node and search width while building (Malkov and Yashunin, TPAMI 2018, section 4.1)"""


class NothingToTrain(FreshetError):
    """Neither the log nor the catalogue has an item with content or events."""


@dataclass(frozen=True)
class Models:
    """The fitted parts of a bundle, and `metrics` to print."""

    space: FittedSpace
    ranker: bytes
    metrics: dict[str, float]
    inputs: tuple[str, ...] = NAMES
    """of the ranker, in their order"""
    priors: Mapping[str, npt.NDArray[Any]] | None = None
    """arrays of the table of that name"""


class Steps:
    """One bar a step of training; silent with `show=False`."""

    def __init__(self, show: bool) -> None:
        columns = (TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        console = Console(stderr=True)
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console) if show else None

    def __enter__(self) -> Steps:
        (self._progress or nullcontext()).__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        (self._progress or nullcontext()).__exit__(*problem)

    def step(self, name: str) -> StepProgress:
        """Starts a new step; call the result with the share done."""
        return StepProgress(self._progress, self._progress.add_task(name, total=1.0) if self._progress else TaskID(0))


@dataclass(frozen=True)
class StepProgress:
    """Shows the progress of one step; called with the share done, 0 to 1."""

    progress: Progress | None
    task: TaskID

    def __call__(self, share: float) -> None:
        if self.progress:
            self.progress.update(self.task, completed=share)


def train(
    interactions: Iterable[Interaction],
    items: Iterable[Item],
    bundles: Path,
    *,
    impressions: Iterable[Impression] = (),
    users: Iterable[User] = (),
    declared: Repository = EMPTY,
    dim: int = 64,
    seed: int = 0,
    show_progress: bool = False,
) -> Manifest:
    """`train_log` of events in any order."""
    log = Log.of(interactions, items, impressions, users)
    return train_log(log, bundles, declared=declared, dim=dim, seed=seed, show_progress=show_progress)


def train_log(
    log: Log,
    bundles: Path,
    *,
    labelled: Sequence[Group] = (),
    declared: Repository = EMPTY,
    dim: int = 64,
    seed: int = 0,
    show_progress: bool = False,
) -> Manifest:
    """Fits the models and publishes them as the bundle in force in the folder `bundles`. The ranker's inputs are the
    main path's and the crosses of `declared`; it learns from moments of the log and from `labelled` impressions, whose
    features are of the same inputs.

    Raises NothingToTrain where neither a log nor a catalogue has anything, ParityError and BundleError.
    """
    with Steps(show_progress) as steps:
        models = fit(log, dim=dim, seed=seed, steps=steps, declared=declared, labelled=labelled)
        return write(models, bundles, seed, steps.step("bundle"))


def fit(
    log: Log,
    *,
    dim: int,
    seed: int,
    steps: Steps,
    declared: Repository = EMPTY,
    labelled: Sequence[Group] = (),
) -> Models:
    """Vectors and ranker of a log, and of `labelled` impressions. Deterministic for a seed."""
    started = time.perf_counter()
    past = log.cut(PREFIX)
    early = factors.fit(log.interactions[:past], log.items, dim, seed, steps.step("vectors of the past"))
    inputs = names(declared.crosses)
    shown = steps.step("examples, as of their time")
    groups = [*examples.examples(log, early, past, MOMENTS, seed, shown, declared), *labelled]
    rising = [cross.name for cross in declared.crosses if cross.rising]
    booster = ranker.fit(groups, seed, steps.step("ranker"), inputs, rising)
    model = ranker.export(booster, _inputs(groups, len(inputs)), inputs)
    space = factors.fit(log.interactions, log.items, dim, seed, steps.step("vectors"))
    if not space.item_ids:
        raise NothingToTrain("no item has an event, a category, a title or an attribute: nothing to train on")
    return Models(
        space,
        model,
        {
            "events": float(len(log.interactions)),
            "examples": float(len(groups)) if booster else 0.0,
            "labelled": float(len(labelled)) if booster else 0.0,
            "seconds": round(time.perf_counter() - started, 1),
        },
        inputs,
        priors.fit(log, space),
    )


def write(
    models: Models,
    bundles: Path,
    seed: int,
    progress: StepProgress,
    build: Callable[[Vectors, int], Any] | None = None,
) -> Manifest:
    """Publishes the models: one space, which every surface searches, and one ranker of one head. `build(vectors, seed)`
    makes the HNSW index, as `index` does."""
    found = models.space
    now = time.time()
    version = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}-{found.id[:8]}"
    with publish(bundles, version) as bundle:
        bundle.created_at, bundle.metrics, bundle.user_vectors = round(now * 1000), models.metrics, SPACE
        built = (build or index)(found.vectors, seed)
        bundle.space(
            SPACE, found.id, found.item_ids, found.vectors, found.origins, found.tokens, found.content, built.save_index
        )
        bundle.ranker(RANKER, models.ranker, models.inputs, {ranker.HEAD: ranker.OUTPUT})
        if models.priors is not None:
            bundle.table(PRIORS, models.priors)
        bundle.surfaces["home"] = Use(
            space=SPACE, ranker=RANKER, objective={ranker.HEAD: 1.0}, tables=list(bundle.tables)
        )
        for surface in ("similar", "bought_together", "cart"):
            bundle.surfaces[surface] = Use(space=SPACE)
        progress(0.9)
    progress(1.0)
    return bundle.manifest


def index(vectors: Vectors, seed: int) -> Any:
    """An HNSW index by inner product; a label is a row. One thread builds it, so that a seed decides it."""
    made = hnswlib.Index(space="ip", dim=vectors.shape[1])
    made.init_index(max_elements=len(vectors), M=M, ef_construction=EF_CONSTRUCTION, random_seed=seed)
    made.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    return made


def _inputs(groups: list[Group], n: int, most: int = 20_000) -> Any:
    """Some of the examples' inputs, float32 (n, inputs), to compare the exported model on."""
    rows = [g.features for g in groups]
    return np.concatenate(rows)[:most] if rows else np.zeros((0, n), np.float32)
