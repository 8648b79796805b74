"""Small bundles for tests: random unit vectors, no index and ranker unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt

from feature_repo.inputs import NAMES
from schemas.manifest import Use
from schemas.publish import BundleWriter, publish


def unit_rows(rng: np.random.Generator, rows: int, dim: int) -> npt.NDArray[np.float32]:
    """Random unit vectors."""
    found = rng.normal(size=(rows, dim)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def index_of(vectors: npt.NDArray[np.float32]) -> Any:
    """An HNSW index over the vectors, labels in their order."""
    made = hnswlib.Index(space="ip", dim=vectors.shape[1])
    made.init_index(max_elements=max(len(vectors), 1), random_seed=0)
    if len(vectors):
        made.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    return made


def write_bundle(
    bundles: Path,
    item_ids: Sequence[str],
    dim: int = 8,
    seed: int = 0,
    version: str = "test",
    served: bool = False,
    inputs: Sequence[str] = NAMES,
    origins: Mapping[str, int] | None = None,
    more: Callable[[BundleWriter], None] = lambda writer: None,
) -> str:
    """Publishes vectors for the items, and content vectors for categories c0 … c3. Returns the version.

    One to be `served` has an index, and a ranker that adds its `inputs` up. `origins` by item id, learned where not
    given; `more` writes further parts.
    """
    rng = np.random.default_rng(seed)
    tokens = [f"category:c{n}" for n in range(4)]
    vectors = unit_rows(rng, len(item_ids), dim)
    made = np.array([(origins or {}).get(item_id, 0) for item_id in item_ids], np.uint64)
    with publish(bundles, version) as writer:
        save = index_of(vectors).save_index if served else None
        writer.space("items", f"space-{seed}", item_ids, vectors, made, tokens, unit_rows(rng, len(tokens), dim), save)
        if served:
            writer.ranker("feed", sum_of_inputs(len(inputs)), inputs, {"score": "scores"})
            writer.surfaces |= {"home": Use(space="items", ranker="feed"), "similar": Use(space="items")}
        more(writer)
    return version


def put_in_force(bundles: Path, version: str) -> None:
    """Names the bundle in force, in one step as `publish` does, whether or not there is such a bundle."""
    aside = bundles / ".current-aside"
    aside.write_text(version)
    aside.replace(bundles / "current")


def sum_of_inputs(n: int) -> bytes:
    """An ONNX model: float32 (rows, n) → (rows,)."""
    from onnx import TensorProto, helper

    node = helper.make_node("ReduceSum", ["inputs", "axes"], ["scores"], keepdims=0)
    graph = helper.make_graph(
        [node], "sum",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, [None, n])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()  # type: ignore[no-any-return]


def mean_of_items(table: npt.NDArray[np.float32], length: int) -> bytes:
    """An ONNX encoder: the mean of the rows of `table` (items, dim) that `items` (1, length) names, 0 being padding."""
    from onnx import TensorProto, helper, numpy_helper

    padded = np.concatenate([np.zeros((1, table.shape[1]), np.float32), table])
    nodes = [
        helper.make_node("Gather", ["table", "items"], ["found"], axis=0),
        helper.make_node("ReduceSum", ["found", "one"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=1),
        helper.make_node("Div", ["total", "count"], ["vector"]),
    ]
    graph = helper.make_graph(
        nodes, "mean",
        [
            helper.make_tensor_value_info("items", TensorProto.INT64, [1, length]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, length]),
        ],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, table.shape[1]])],
        [numpy_helper.from_array(padded, "table"), helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()  # type: ignore[no-any-return]
