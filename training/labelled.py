"""Reads labelled examples as arrays: the shown items, the ranker's inputs, and the labels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.views import TASTE
from schemas.events import FLOAT_BYTES
from training.examples import Group, grade_of

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    {
        "request_id": pa.string(), "user_id": pa.string(), "item_id": pa.string(), "position": pa.int32(),
        "shown_at": pa.int64(), "model_version": pa.string(), "labels": pa.string(), "watch_seconds": pa.float64(),
        "propensity": pa.float64(), "features": pa.binary(), "complete": pa.bool_(),
    }
)  # fmt: skip
"""of the columns that are read here"""
ORDER = [("shown_at", "ascending"), ("request_id", "ascending"), ("position", "ascending")]

_decode = msgspec.json.Decoder(dict[str, int]).decode


@dataclass(frozen=True)
class Labelled:
    """One entry a shown item, those of an impression in sequence, impressions in the order of their times."""

    features: npt.NDArray[np.float32]
    """(n, inputs), as served"""
    labels: dict[str, npt.NDArray[np.int64]]
    """event type → how often (n,)"""
    watch_seconds: npt.NDArray[np.float64]
    """NaN where nothing was watched"""
    positions: npt.NDArray[np.int64]
    propensities: npt.NDArray[np.float64]
    """NaN where none was logged"""
    groups: npt.NDArray[np.int64]
    """which impression, from 0"""
    shown_at: npt.NDArray[np.int64]
    """epoch ms"""
    request_ids: list[str]
    user_ids: list[str]
    item_ids: list[str]
    left_out: int = 0
    """items whose inputs were not as many as the model's: somebody logged others under its name"""

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The number of items of each impression."""
        return np.bincount(self.groups).astype(np.int64)


def finished(folder: Path) -> set[Path]:
    """The files of examples that are complete, `day=…/part-…`."""
    return set(folder.glob("day=*/part-*"))


def read(files: Iterable[Path], model_version: str, inputs: int | None = None) -> Labelled:
    """The examples with features of one model: those of different models have different inputs. Examples closed
    before their window ended are left out, since their labels are incomplete.

    `inputs` is how many the model has, by its bundle's manifest; None takes what most examples have. Others are left
    out and counted.
    """
    tables = [pq.read_table(file, columns=list(SCHEMA.names), partitioning=None) for file in sorted(files)]
    found = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    wanted = pc.and_(pc.equal(found["model_version"], model_version), pc.is_valid(found["features"]))
    found = found.filter(pc.and_(wanted, found["complete"]))
    lengths = pc.binary_length(found["features"])
    width = _width(lengths) if inputs is None else inputs
    kept = found.filter(pc.equal(lengths, width * FLOAT_BYTES)).sort_by(ORDER).combine_chunks()
    left_out = len(found) - len(kept)
    if left_out:
        log.warning("%d of %d examples of %s have other than its %d inputs", left_out, len(found), model_version, width)
    found = kept
    requests = found["request_id"].to_numpy()
    begins = np.ones(len(found), bool)
    begins[1:] = requests[1:] != requests[:-1]
    return Labelled(
        np.frombuffer(b"".join(found["features"].to_pylist()), "<f4").reshape(len(found), width),
        _labels(found["labels"]),
        found["watch_seconds"].to_numpy().astype(np.float64),
        found["position"].to_numpy().astype(np.int64),
        found["propensity"].to_numpy().astype(np.float64),
        np.cumsum(begins, dtype=np.int64) - 1,
        found["shown_at"].to_numpy().astype(np.int64),
        requests.tolist(),
        found["user_id"].to_pylist(),
        found["item_id"].to_pylist(),
        left_out,
    )


def groups(
    found: Labelled,
    inputs: Sequence[str],
    wanted: Sequence[str],
    kept: Callable[[tuple[str, str]], bool] = lambda impression: True,
) -> list[Group]:
    """One ranking group for each impression that has both an item that was acted on and one that was not, and whose
    person and request id are `kept`; labels are graded as those of `training.examples`.

    `inputs` are the names of the columns of `found.features`, `wanted` those of the groups', in their order. Raises
    ValueError where one of `wanted` is not among `inputs`.
    """
    columns = [list(inputs).index(name) for name in wanted]
    labels = np.zeros(len(found), np.int64)
    for kind, counts in found.labels.items():
        # Of a rating the stars are not known: it says that the item was met.
        value = 1 if kind == "rating" else grade_of(TASTE[kind]) if kind in TASTE else 0
        labels = np.maximum(labels, np.where(counts > 0, value, 0))
    made = []
    ends = np.cumsum(found.sizes)
    for start, end in zip((ends - found.sizes).tolist(), ends.tolist(), strict=True):
        own = labels[start:end]
        if own.any() and not own.all() and kept((found.user_ids[start], found.request_ids[start])):
            made.append(Group(found.features[start:end, columns], own))
    return made


def _width(lengths: pa.ChunkedArray) -> int:
    """The most common number of inputs, the smallest of several; `lengths` in bytes."""
    counts = Counter(n // FLOAT_BYTES for n in lengths.to_pylist() if n % FLOAT_BYTES == 0)
    return min(counts, key=lambda n: (-counts[n], n), default=0)


def _labels(column: pa.ChunkedArray) -> dict[str, npt.NDArray[np.int64]]:
    """Parses the labels, each distinct text once: most items have none, and most others have the same."""
    texts = column.combine_chunks().dictionary_encode()
    said = [_decode(text) for text in texts.dictionary.to_pylist()]
    which = texts.indices.to_numpy(zero_copy_only=False)
    kinds = sorted({kind for labels in said for kind in labels})
    return {kind: np.array([labels.get(kind, 0) for labels in said], np.int64)[which] for kind in kinds}
