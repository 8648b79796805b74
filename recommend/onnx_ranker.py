"""A ranker of a bundle: an ONNX model over named inputs, with named heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from feature_repo.candidates import Candidates
from feature_repo.crosses import Cross
from feature_repo.inputs import INPUTS, NAMES, Input, named, stack
from recommend.onnx import OnnxModel, one_output
from schemas.errors import BundleError
from schemas.manifest import RankerPart

Matrix = npt.NDArray[np.float32]


class OnnxRanker:
    """float32 (n, inputs) → heads, one number a candidate each; higher is better."""

    def __init__(
        self,
        model: bytes,
        names: Sequence[str] = NAMES,
        inputs: Sequence[Input] = INPUTS,
        heads: Mapping[str, str] | None = None,
    ) -> None:
        """`names` are those of the `inputs`; `heads` is head → output of the model, "score" → its one output where not
        given.

        Raises BundleError where the model has other inputs or outputs.
        """
        self._session = OnnxModel(model)
        self.names, self._inputs = tuple(names), tuple(inputs)
        self.pairs = tuple(v for each in inputs if isinstance(each, Cross) for v in each.values if v.second)
        """features of pairs that it reads"""
        self.reads_declared = any(
            value.entity.of_user for each in inputs if isinstance(each, Cross) for value in each.values
        )
        """whether it reads features of people that a team declares"""
        outputs = dict(heads) if heads is not None else {"score": one_output(self._session)}
        if missing := set(outputs.values()) - set(self._session.outputs):
            raise BundleError(f"the model has no output {sorted(missing)}; it has {list(self._session.outputs)}")
        self.heads = tuple(outputs)
        self._outputs = list(outputs.values())
        if len(self._session.inputs) != 1:
            raise BundleError(f"a ranker has one input, and this one has {list(self._session.inputs)}")
        (self._input,) = self._session.inputs
        found = self.run(np.zeros((2, len(self.names)), np.float32))
        if not np.isfinite(found).all():
            raise BundleError("the model's scores are not finite")

    @classmethod
    def of(cls, model: bytes, part: RankerPart, declared: Sequence[Cross] = ()) -> OnnxRanker:
        """The ranker of a bundle's part; it may read fewer crosses than are `declared`.

        Raises BundleError where it reads inputs that are not known here, or cannot be used.
        """
        try:
            inputs = named(part.inputs, declared)
        except KeyError as error:
            raise BundleError(f"its ranker has other inputs than this server: {error} is not one of them") from None
        return cls(model, part.inputs, inputs, part.heads)

    def inputs(self, candidates: Candidates) -> Matrix:
        """The inputs of the candidates for `run`: float32 (n, inputs)."""
        return stack(candidates, self._inputs)

    def run(self, inputs: Matrix) -> Matrix:
        """Scores (n, heads). Raises BundleError where the model gives another number of them."""
        found = self._session.run(self._outputs, {self._input: inputs})
        if any(each.size != len(inputs) for each in found):
            raise BundleError("the ranker's scores are not one number a candidate")
        heads = [np.asarray(each, np.float32).reshape(-1, 1) for each in found]
        return heads[0] if len(heads) == 1 else np.concatenate(heads, axis=1)

    def score(self, inputs: Matrix, objective: Mapping[str, float] | None = None) -> npt.NDArray[np.float32]:
        """Scores (n,): the heads' sum, each weighted by the objective, or by 1 where none is given."""
        weights = [1.0 if objective is None else objective.get(head, 0.0) for head in self.heads]
        return self.run(inputs) @ np.array(weights, np.float32)
