"""The recommendation server, with a thread in it that compares searches of its index with the exact product.

`python -m bench.searching_server FILE` serves as `python -m serving` does, and appends a line of JSON for each
comparison to FILE: what the server's own index finds while the server takes new items.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import uvicorn
from msgspec import Struct

from bench.pace import paced
from feature_repo.columns import ItemColumns
from recommend.item_space import ItemSpace
from recommend.retrievers import NEAREST
from serving.process import application, log_to_stderr, options
from serving.services import Services
from serving.settings import ServingSettings

PER_SECOND = 2.0
VECTORS = 4
"""searches of each kind in a comparison"""
PRODUCT = 32_768
"""vectors multiplied at once"""
CLOSE = np.float32(1e-5)
"""by how much scores of equal items may differ: the index and the product sum in another order"""
FOREVER_S = 86_400.0


class ComparedSearches(Struct):
    """Searches compared at one moment, epoch seconds, with `items` of the space in force. `error` is that of a search
    that failed. Recalls are by what is searched for: items of the bundle, items that have come since, and the last
    VECTORS of those."""

    at: float
    items: int
    bundled: list[float] = []
    added: list[float] = []
    newest: list[float] = []
    error: str = ""


def compare(space: ItemSpace, columns: ItemColumns, chance: random.Random, k: int = NEAREST) -> ComparedSearches:
    """Recalls of searches for items at random, over what is available and has a vector when the search begins."""
    at = time.time()
    allowed = columns.available.copy()
    rows = np.flatnonzero(allowed)
    rows = rows[space.has(rows)]
    labels = space.labels_of(rows)
    added = rows[labels >= space.bundled]
    newest = added[np.argsort(labels[labels >= space.bundled])[-VECTORS:]]
    kinds = {"bundled": rows[labels < space.bundled], "added": added, "newest": newest}
    found = ComparedSearches(at, len(rows))
    for kind, choices in kinds.items():
        if not len(choices):
            continue
        chosen = np.array([choices[chance.randrange(len(choices))] for _ in range(VECTORS)], np.int64)
        vectors = space.vectors_of(chosen)
        try:
            answers = space.nearest(vectors, k, allowed)
        except Exception as error:  # the other kind is compared nevertheless
            found.error = _text(error)
            continue
        setattr(found, kind, recalls(space, vectors, answers, rows, k))
    return found


def recalls(
    space: ItemSpace,
    vectors: npt.NDArray[np.float32],
    answers: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    k: int,
) -> list[float]:
    """For each of the vectors (n, dim), which share of the k nearest of the rows are among the answers (n, …).

    Items of one and the same score count for one another: an answer is right where its score is at least the k-th best.
    """
    k = min(k, len(rows))
    scores = np.concatenate(
        [vectors @ space.vectors_of(rows[start : start + PRODUCT]).T for start in range(0, len(rows), PRODUCT)], axis=1
    )
    least = np.partition(scores, len(rows) - k, axis=1)[:, len(rows) - k]
    found = []
    for vector, answer, bound in zip(vectors, answers, least, strict=True):
        right = np.unique(answer)
        found.append(min(int(np.count_nonzero(space.vectors_of(right) @ vector >= bound - CLOSE)), k) / k)
    return found


def _compare_forever(services: Services, path: Path) -> None:
    chance = random.Random(7)
    with path.open("ab", buffering=0) as file:
        for _ in paced(PER_SECOND, FOREVER_S):
            try:
                found = _compared(services, chance)
            except Exception as error:  # which the benchmark counts as well
                found = ComparedSearches(time.time(), 0, error=_text(error))
            if found is not None:
                file.write(msgspec.json.encode(found) + b"\n")


def _compared(services: Services, chance: random.Random) -> ComparedSearches | None:
    """A comparison; None before the server has its model and catalogue."""
    model = services.pipeline.model
    if not services.catalogue.complete or model is None or model.user_space is None:
        return None
    return compare(model.user_space, services.catalogue.columns, chance)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def main(path: Path) -> None:
    """Serves until SIGTERM or SIGINT."""
    log_to_stderr()
    settings = ServingSettings()
    app = application(settings)
    threading.Thread(target=_compare_forever, args=(app.state.services, path), daemon=True).start()
    uvicorn.run(app, host=settings.host, port=settings.http_port, **options(settings))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
