"""Bundles of which every answer shows the parts that made it.

Each has vectors of its own, drawn independently, so that an item's neighbours in one bundle are no neighbours in
another. Its ranker is that of MovieLens-100K, plus COSINE times the cosine of person and item, so that neighbours are
shown, plus a mark: the scores of different bundles lie in ranges that do not meet.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bench.catalogues import parallel_index, space
from feature_repo.inputs import NAMES
from schemas import bundle
from schemas.bundle import Bundle
from schemas.manifest import Use
from schemas.publish import publish
from training import ranker
from training.factors import FittedSpace
from training.train import RANKER, SPACE

COSINE = 8.0
MARKS = 64.0
"""distance of the marks of two bundles; scores without the mark are within half of it of 0"""
SUFFIXES = {".npy", ".hnsw"}


@dataclass(frozen=True)
class Mark:
    """The name of a bundle, the seed of its vectors, and what its scores are raised by."""

    version: str
    seed: int

    @property
    def raised(self) -> float:
        return MARKS * self.seed


FIRST, SECOND, THIRD = Mark("bench-first", 1), Mark("bench-second", 2), Mark("bench-third", 3)


def make(mark: Mark, n: int, plain: bytes, bundles: Path) -> float:
    """Publishes the bundle in a folder, over `n` items of `bench.catalogues.catalogue`. Returns the seconds that it
    took to build its index."""
    found = space(n, mark.seed)
    began = time.perf_counter()
    index = parallel_index(found.vectors, mark.seed)
    took = time.perf_counter() - began
    _write(bundles, mark.version, marked(plain, mark.raised), found, found.id, index.save_index)
    return took


def publish_copy(made: Path, bundles: Path, version: str) -> tuple[float, float]:
    """Publishes the bundle at `made` in another folder, as training does once its models are fitted. Returns the
    moments (time.perf_counter, the same in all processes) at which writing began and at which it was in force."""
    began = time.perf_counter()
    found = bundle.load(made)
    stored = found.space()
    item_ids = [item_id for chunk in stored.item_ids() for item_id in chunk]
    tokens = [token for chunk in stored.tokens() for token in chunk]
    fitted = FittedSpace(item_ids, stored.vectors, stored.origins, tokens, stored.content)
    index = stored.index
    assert index is not None

    def save_index(path: str) -> None:
        shutil.copy(index, path)

    _write(bundles, version, found.onnx("rankers", RANKER), fitted, stored.part.id, save_index)
    return began, time.perf_counter()


def _write(
    bundles: Path, version: str, model: bytes, fitted: FittedSpace, space_id: str, save_index: Callable[[str], None]
) -> None:
    with publish(bundles, version) as writer:
        writer.created_at, writer.user_vectors = round(time.time() * 1000), SPACE
        writer.space(
            SPACE, space_id, fitted.item_ids, fitted.vectors, fitted.origins, fitted.tokens, fitted.content, save_index
        )
        writer.ranker(RANKER, model, NAMES, {ranker.HEAD: ranker.OUTPUT})
        writer.surfaces["home"] = Use(space=SPACE, ranker=RANKER, objective={ranker.HEAD: 1.0})
        writer.surfaces["similar"] = Use(space=SPACE)


def marked(plain: bytes, raised: float) -> bytes:
    """The ranker, plus COSINE times its input `similarity`, plus `raised`: float32 (n, inputs) → float32 (n, 1)."""
    model = onnx.load_from_string(plain)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["plain" if name == ranker.OUTPUT else name for name in node.output]
    weights = np.zeros((len(NAMES), 1), np.float32)
    weights[NAMES.index("similarity")] = COSINE
    graph.initializer.extend(
        [
            numpy_helper.from_array(weights, "cosine_weights"),
            numpy_helper.from_array(np.array([raised], np.float32), "mark"),
            numpy_helper.from_array(np.array([-1, 1], np.int64), "column"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Reshape", ["plain", "column"], ["plain_column"]),
            helper.make_node("MatMul", [ranker.INPUT, "cosine_weights"], ["cosine"]),
            helper.make_node("Add", ["plain_column", "cosine"], ["unmarked"]),
            helper.make_node("Add", ["unmarked", "mark"], [ranker.OUTPUT]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(ranker.OUTPUT, onnx.TensorProto.FLOAT, [None, 1]))
    onnx.checker.check_model(model)
    found: bytes = model.SerializeToString()
    return found


def arrays_bytes(found: Bundle) -> int:
    """Bytes of the bundle's arrays: vectors, origins, content, tables and index files."""
    return sum(file.stat().st_size for file in found.path.rglob("*") if file.suffix in SUFFIXES)
