"""Small bundles for tests: random unit vectors, no index and ranker unless asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hnswlib
import msgspec
import numpy as np

from feature_repo.inputs import NAMES
from schemas import bundle


def write_bundle(
    bundles: Path,
    item_ids: list[str],
    dim: int = 8,
    seed: int = 0,
    version: str = "test",
    served: bool = False,
    inputs: Sequence[str] = NAMES,
) -> str:
    """Publishes vectors for the items, and content vectors for categories c0 … c3. Returns the version.

    One to be `served` has an index, and a ranker that adds its `inputs` up.
    """
    rng = np.random.default_rng(seed)

    def unit(rows: int) -> np.ndarray:
        found = rng.normal(size=(rows, dim)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    tokens = [f"category:c{n}" for n in range(4)]
    with bundle.publish(bundles, version) as folder:
        (folder / "items.json").write_bytes(msgspec.json.encode(item_ids))
        (folder / "tokens.json").write_bytes(msgspec.json.encode(tokens))
        vectors = unit(len(item_ids))
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "content.npy", unit(len(tokens)))
        if served:
            index = hnswlib.Index(space="ip", dim=dim)
            index.init_index(max_elements=len(item_ids), random_seed=0)
            index.add_items(vectors, np.arange(len(item_ids)))
            index.save_index(str(folder / "index.hnsw"))
            (folder / "ranker.onnx").write_bytes(sum_of_inputs(len(inputs)))
        bundle.seal(
            folder, version=version, space_id=f"space-{seed}", dim=dim, items=len(item_ids),
            features=list(inputs) if served else [], created_at=0, metrics={},
        )  # fmt: skip
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
