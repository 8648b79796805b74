"""What one bundle brings into the server: the space, the index and the ranker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from feature_repo.crosses import Cross
from feature_repo.inputs import NAMES
from operators.space import BundleSpace
from recommend.index import ItemIndex
from schemas.bundle import Bundle
from schemas.errors import BundleError
from schemas.events import Item


class Ranker:
    """An ONNX model: float32 (n, inputs) → scores (n,), higher is better."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # A request's few hundred rows are too little work to share between threads.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def score(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores (n,) of the candidates whose inputs are given."""
        (found,) = self._session.run([self._output], {self._input: inputs})
        return np.asarray(found, np.float32).reshape(-1)


@dataclass(frozen=True)
class Model:
    """A bundle in memory. Its item at row r is row r of the item columns and label r of the index."""

    version: str
    space: BundleSpace
    item_ids: list[str]
    index: ItemIndex
    ranker: Ranker
    crosses: tuple[Cross, ...] = ()
    """the ranker's inputs after the main path's"""

    @classmethod
    def of(cls, bundle: Bundle, item: Callable[[str], Item | None], declared: Sequence[Cross] = ()) -> Model:
        """Reads a verified bundle; `item` finds the catalogue entries of items without a trained vector. Its ranker may
        read fewer crosses than are `declared` here: a model is in force until one is trained that reads the new ones.

        Raises BundleError where the ranker wants inputs that are not ours, or a file cannot be used.
        """
        wanted, known = bundle.manifest.features, {cross.name: cross for cross in declared}
        if tuple(wanted[: len(NAMES)]) != NAMES or not known.keys() >= set(wanted[len(NAMES) :]):
            raise BundleError(f"{bundle.version}: its ranker wants other inputs, or in another order, than this server")
        crosses = tuple(known[name] for name in wanted[len(NAMES) :])
        try:
            item_ids = bundle.item_ids
            index = ItemIndex(bundle.manifest.dim, bundle.path / "index.hnsw", len(item_ids))
            ranker = Ranker((bundle.path / "ranker.onnx").read_bytes())
            space = BundleSpace.of(bundle, item)
        except BundleError:
            raise
        except Exception as error:  # each library has errors of its own for a file that it cannot use
            raise BundleError(f"{bundle.version}: {error}") from error
        if len(item_ids) != len(space.vectors) or len(index) != len(item_ids):
            raise BundleError(f"{bundle.version}: items, vectors and index differ in length")
        return cls(bundle.version, space, item_ids, index, ranker, crosses)
