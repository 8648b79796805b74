"""An encoder of a bundle: an ONNX model from a person's last items and features to a vector of a space.

A model has any of these inputs, by name; L is the part's `length`, and positions without an item are padding:

    items     int64   (1, L)       1 + the item's label in the space, 0 for padding
    vectors   float32 (1, L, dim)  the items' vectors in the space, zeros for padding
    mask      float32 (1, L)       1 where there is an item, 0 for padding
    ages_s    float32 (1, L)       seconds since the interaction, 0 for padding
    types     int64   (1, L)       1 + the place of the interaction's type in `EVENT_TYPES`, 0 for padding
    features  float32 (1, F)       the person's features that the part names, in its order

With `newest_first` the latest item is at position 0 and padding follows; otherwise it is at position L - 1 and padding
comes before. The one output has `dim` numbers; they are scaled to length 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_repo import views
from feature_repo.columns import ItemColumns
from operators.contract import Vector
from recommend.item_space import ItemSpace
from recommend.onnx import OnnxModel, one_output
from schemas.errors import BundleError
from schemas.events import EVENT_TYPES
from schemas.manifest import EncoderPart

INPUTS = ("items", "vectors", "mask", "ages_s", "types", "features")
NUMBERS = {f.name: float(f.default) for f in views.user.fields if f.dtype in ("int64", "float32", "float64", "bool")}
"""features of a person that an encoder may read → their defaults"""
CODES = {name: code for code, name in enumerate(EVENT_TYPES, 1)}


class OnnxEncoder:
    """Encodes a person at a request."""

    def __init__(
        self, model: bytes, part: EncoderPart, space: ItemSpace, declared: Mapping[str, float] | None = None
    ) -> None:
        """`declared` are the declared features of people that are read here, by `Value.key` → their defaults.

        Raises BundleError where the model has inputs or features that are not known here, or an output of another
        dimension.
        """
        self._session = OnnxModel(model)
        self._part, self.space = part, space
        self._defaults = NUMBERS | dict(declared or {})
        if unknown := set(self._session.inputs) - set(INPUTS):
            raise BundleError(f"the encoder has unknown inputs {sorted(unknown)}; known are {', '.join(INPUTS)}")
        if unknown := set(part.features) - self._defaults.keys():
            raise BundleError(f"the encoder reads unknown features {sorted(unknown)}")
        self._output = one_output(self._session)
        if space.bundled:
            self._run(np.zeros(1, np.int64), np.zeros(1), [""], {})

    def encode(self, user: Mapping[str, Any], columns: ItemColumns, at: int) -> Vector | None:
        """Unit vector (dim,) of the person as of `at`, epoch ms; None where none of their last items is in the bundle's
        space, or the model gives a vector of length 0.

        Raises BundleError where the model does not run, or its numbers are not finite.
        """
        rows, times, kinds = [], [], []
        for item_id, kind, time in zip(user["recent_items"], user["recent_types"], user["recent_times"], strict=False):
            row = columns.row_of.get(item_id)
            if row is not None:
                rows.append(row)
                times.append(time)
                kinds.append(kind)
        labels = self.space.labels_of(np.array(rows, np.int64)) if rows else np.zeros(0, np.int64)
        known = np.flatnonzero((labels >= 0) & (labels < self.space.bundled))[: self._part.length]
        if not len(known):
            return None
        ages = np.maximum(at - np.array(times, np.float64)[known], 0) / 1000
        found = self._run(labels[known].astype(np.int64), ages, [kinds[k] for k in known.tolist()], user)
        length = float(np.linalg.norm(found))
        return found / np.float32(length) if length > 1e-6 else None

    def _run(
        self,
        labels: npt.NDArray[np.int64],
        ages: npt.NDArray[np.float64],
        kinds: Sequence[str],
        user: Mapping[str, Any],
    ) -> npt.NDArray[np.float32]:
        """The model's output (dim,) of items, newest first."""
        length, n = self._part.length, len(labels)
        order = np.arange(n) if self._part.newest_first else np.arange(n)[::-1]
        places = slice(0, n) if self._part.newest_first else slice(length - n, length)
        given: dict[str, npt.NDArray[Any]] = {
            "items": np.zeros((1, length), np.int64),
            "vectors": np.zeros((1, length, self.space.dim), np.float32),
            "mask": np.zeros((1, length), np.float32),
            "ages_s": np.zeros((1, length), np.float32),
            "types": np.zeros((1, length), np.int64),
        }
        given["items"][0, places] = labels[order] + 1
        if "vectors" in self._session.inputs:
            given["vectors"][0, places] = self.space.by_label(labels[order])
        given["mask"][0, places] = 1.0
        given["ages_s"][0, places] = ages[order]
        given["types"][0, places] = [CODES.get(kinds[k], 0) for k in order.tolist()]
        values = [(user.get(name), self._defaults[name]) for name in self._part.features]
        given["features"] = np.array([[other if value is None else value for value, other in values]], np.float32)
        (found,) = self._session.run([self._output], {name: given[name] for name in self._session.inputs})
        if found.size != self.space.dim or not np.isfinite(found).all():
            raise BundleError(f"the encoder's output is not {self.space.dim} finite numbers")
        return np.asarray(found, np.float32).reshape(-1)
