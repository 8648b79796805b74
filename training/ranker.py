"""The ranker: LightGBM's LambdaMART over `feature_repo.inputs`'s inputs, as an ONNX model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from feature_repo.inputs import NAMES
from recommend.onnx_ranker import OnnxRanker
from schemas.errors import FreshetError
from training.examples import Group

INPUT, OUTPUT = "features", "scores"
HEAD = "relevance"
ROUNDS = 150
PARAMETERS: dict[str, Any] = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 20,
    "learning_rate": 0.05,
    "num_leaves": 7,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "label_gain": [0, 2, 3, 4],
    "max_bin": 127,
    "num_threads": 2,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
RISING = {"similarity", "category_affinity", "popularity", "region_popularity", "trend"}
"""inputs of which more is never worse: a bound on what a small log can make the model believe"""
ROWS_A_LEAF = 200
FEWEST_GROUPS = 30
"""below this there is nothing to learn from, and `PRIOR` ranks"""
PRIOR = {"similarity": 1.0, "recent_max": 0.5, "category_affinity": 0.5, "popularity": 0.1}
"""weights of a linear ranker for a log too short to learn one from: near to taste, then popular"""
TOLERANCE = 1e-4
OPSET = 15


class ParityError(FreshetError):
    """The exported model gives other scores than the trained one."""


def fit(
    groups: Sequence[Group],
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
    names: Sequence[str] = NAMES,
    rising: Collection[str] = (),
) -> lightgbm.Booster | None:
    """A booster over inputs of these names, or None where there are fewer than FEWEST_GROUPS groups; `rising` are
    inputs of which more is never worse, in addition to RISING."""
    if len(groups) < FEWEST_GROUPS:
        return None
    features = np.concatenate([g.features for g in groups])
    data = lightgbm.Dataset(
        features,
        np.concatenate([g.labels for g in groups]),
        group=[len(g.labels) for g in groups],
        feature_name=list(names),
    )
    booster = lightgbm.train(
        PARAMETERS
        | {
            "seed": seed,
            "monotone_constraints": [int(name in RISING or name in rising) for name in names],
            "min_data_in_leaf": min(ROWS_A_LEAF, len(features) // 50),
        },
        data,
        ROUNDS,
        callbacks=[lambda env: progress((env.iteration + 1) / ROUNDS)],
    )
    return single_precision(booster)


def single_precision(booster: lightgbm.Booster) -> lightgbm.Booster:
    """The same model with thresholds in float32, as ONNX trees have them.

    Each is rounded down: for a float32 input, x ≤ t and x ≤ the next float32 below t are the same
    question, whereas rounding up would send an input that stands at the threshold the other way.
    """
    lines = []
    for line in booster.model_to_string().splitlines():
        if line.startswith("tree_sizes="):
            continue  # bytes of each tree, no longer right; LightGBM then reads them one by one
        if line.startswith("threshold="):
            line = "threshold=" + " ".join(map(_round_down, line.removeprefix("threshold=").split()))
        lines.append(line)
    return lightgbm.Booster(model_str="\n".join(lines) + "\n")


def _round_down(threshold: str) -> str:
    exact = float(threshold)
    rounded = np.float32(exact)
    if float(rounded) > exact:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return repr(float(rounded))


def export(booster: lightgbm.Booster | None, sample: npt.NDArray[np.float32], names: Sequence[str] = NAMES) -> bytes:
    """The ONNX model: float32 (n, inputs) named "features" → float32 (n, 1) or (n,).

    Raises ParityError where it differs from the booster on `sample` by more than TOLERANCE.
    """
    if booster is None:
        return prior(names).SerializeToString()
    kinds = [(INPUT, FloatTensorType([None, len(names)]))]
    model = convert_lightgbm(booster, "ranker", initial_types=kinds, target_opset=OPSET)
    _rename_output(model.graph)
    encoded: bytes = model.SerializeToString()
    scores = OnnxRanker(encoded, names, heads={HEAD: OUTPUT}).score(sample)
    worst = float(np.abs(scores - booster.predict(sample)).max(initial=0.0))
    if worst > TOLERANCE:
        raise ParityError(f"the ONNX ranker differs from the trained one by {worst:.2g}")
    return encoded


def _rename_output(graph: onnx.GraphProto) -> None:
    """Calls the graph's one output OUTPUT."""
    (output,) = graph.output
    for node in graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
    output.name = OUTPUT


def prior(names: Sequence[str] = NAMES) -> onnx.ModelProto:
    """The linear ranker of `PRIOR`."""
    weights = np.array([[PRIOR.get(name, 0.0)] for name in names], np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", [INPUT, "weights"], [OUTPUT])],
        "prior",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, len(names)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
