"""Loads and runs ONNX models in one thread, without spinning between requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnxruntime

from schemas.errors import BundleError


class OnnxModel:
    """A loaded ONNX model. `inputs` and `outputs` are name → shape as the model states it."""

    def __init__(self, model: bytes) -> None:
        """Raises BundleError where the bytes are not a model."""
        options = onnxruntime.SessionOptions()
        # A request's few hundred rows are too little work to share between threads.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common root
            raise BundleError(f"not a model that can be used: {error}") from error
        self.inputs = {each.name: each.shape for each in self._session.get_inputs()}
        self.outputs = {each.name: each.shape for each in self._session.get_outputs()}

    def run(self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of these names. Raises BundleError where the inputs do not fit the model."""
        try:
            found: list[npt.NDArray[Any]] = self._session.run(list(outputs), dict(inputs))
        except Exception as error:
            raise BundleError(f"the model does not run: {error}") from error
        return found


def one_output(session: OnnxModel) -> str:
    """The name of the model's output. Raises BundleError where it has several."""
    if len(session.outputs) != 1:
        raise BundleError(f"expected one output, and the model has {list(session.outputs)}")
    return next(iter(session.outputs))
