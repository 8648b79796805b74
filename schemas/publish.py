"""Publishing a bundle: written aside, synced to disk, moved into place, then named in `current`.

A reader sees the old bundle or the new one, whole, also after a power failure. Bundles beyond the last `KEPT` are
removed, but never one that is in force or named in `traffic.json`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.bundle import (
    CONTENT,
    CURRENT,
    IDS,
    INDEX,
    MANIFEST,
    MODEL,
    ORIGINS,
    TOKENS,
    VECTORS,
    current_name,
    load,
    sha256,
)
from schemas.errors import BundleError
from schemas.manifest import FORMAT, EncoderPart, Manifest, RankerPart, SpacePart, TablePart, Use
from schemas.traffic import named_bundles

log = logging.getLogger(__name__)

KEPT = 5
ASIDE = ".writing-"
ABANDONED_S = 60
"""least age of a folder without a writer before it is removed: its writer locks it just after it has made it"""


@dataclass
class BundleWriter:
    """Writes a bundle's parts into `folder`, each with its checksums."""

    folder: Path
    version: str
    user_vectors: str = "items"
    created_at: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    spaces: dict[str, SpacePart] = field(default_factory=dict)
    encoders: dict[str, EncoderPart] = field(default_factory=dict)
    rankers: dict[str, RankerPart] = field(default_factory=dict)
    tables: dict[str, TablePart] = field(default_factory=dict)
    surfaces: dict[str, Use] = field(default_factory=dict)

    def space(
        self,
        name: str,
        space_id: str,
        item_ids: Sequence[str],
        vectors: npt.NDArray[np.float32],
        origins: npt.NDArray[np.uint64],
        tokens: Sequence[str],
        content: npt.NDArray[np.float32],
        save_index: Callable[[str], None] | None = None,
    ) -> None:
        """A space: unit vectors (items, dim), their origins (items,), tokens and their vectors (tokens, dim);
        `save_index` writes the HNSW index to the path that it is given."""
        folder = self._part("spaces", name)
        for file, lines in ((IDS, item_ids), (TOKENS, tokens)):
            (folder / file).write_bytes(msgspec.json.Encoder().encode_lines(list(lines)))
        for file, array in ((VECTORS, vectors), (ORIGINS, origins), (CONTENT, content)):
            np.save(folder / file, array)
        if save_index:
            save_index(str(folder / INDEX))
        self.spaces[name] = SpacePart(space_id, vectors.shape[1], len(item_ids), _checksums(folder))

    def encoder(
        self, name: str, model: bytes, space: str, length: int, newest_first: bool, features: Sequence[str] = ()
    ) -> None:
        """An encoder of a person's last `length` items and of `features` into `space`."""
        folder = self._part("encoders", name)
        (folder / MODEL).write_bytes(model)
        self.encoders[name] = EncoderPart(space, length, newest_first, _checksums(folder), list(features))

    def ranker(self, name: str, model: bytes, inputs: Sequence[str], heads: Mapping[str, str]) -> None:
        """A ranker: inputs by name, head → output of the model."""
        folder = self._part("rankers", name)
        (folder / MODEL).write_bytes(model)
        self.rankers[name] = RankerPart(list(inputs), dict(heads), _checksums(folder))

    def table(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Named arrays."""
        folder = self._part("tables", name)
        for array_name, array in arrays.items():
            np.save(folder / f"{array_name}.npy", array, allow_pickle=False)
        self.tables[name] = TablePart(_checksums(folder))

    @property
    def manifest(self) -> Manifest:
        """The manifest of what has been written."""
        return Manifest(
            FORMAT,
            self.version,
            self.created_at,
            self.user_vectors,
            self.spaces,
            self.encoders,
            self.rankers,
            self.tables,
            self.surfaces,
            dict(self.metrics),
        )

    def _part(self, kind: str, name: str) -> Path:
        folder = self.folder / kind / name
        folder.mkdir(parents=True)
        return folder


@contextmanager
def publish(bundles: Path, version: str) -> Iterator[BundleWriter]:
    """A writer of the bundle `version`; on a clean exit it becomes the bundle in force. On an error nothing changes.

    Raises BundleError where what was written is not a bundle, and OSError where the disk or an existing bundle of that
    name is in the way.
    """
    bundles.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(bundles)
    aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=bundles))
    lock = os.open(aside, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however that ends
    try:
        writer = BundleWriter(aside, version)
        yield writer
        (aside / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(writer.manifest), indent=2))
        load(aside)
        for folder, _, files in os.walk(aside, topdown=False):
            # Somebody else may run the server, and mkdtemp's folder is for its owner alone.
            Path(folder).chmod(0o755)
            for name in files:
                _sync(Path(folder) / name)
            _sync(Path(folder))
        aside.replace(bundles / version)
        _sync(bundles)
        _point(bundles, version)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        os.close(lock)
    prune(bundles)


def prune(bundles: Path, kept: int = KEPT) -> list[str]:
    """Removes bundles older than the last `kept`, except those that are in force or named in `traffic.json`. Returns
    the names of those removed."""
    try:
        needed = {current_name(bundles), *named_bundles(bundles)}
    except BundleError as error:
        log.warning("old bundles are kept: %s", error)
        return []
    found = sorted((p for p in bundles.iterdir() if (p / MANIFEST).is_file()), key=_created, reverse=True)
    old = [path for path in found if path.name not in needed and not path.name.startswith(".")]
    spare = max(0, kept - (len(found) - len(old)))
    for path in old[spare:]:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in old[spare:]]


def _created(path: Path) -> tuple[float, str]:
    return (path / MANIFEST).stat().st_mtime, path.name


def _point(bundles: Path, version: str) -> None:
    pointer = bundles / f".{CURRENT}-{os.getpid()}"
    pointer.write_text(version + "\n")
    _sync(pointer)
    pointer.replace(bundles / CURRENT)
    _sync(bundles)


def _checksums(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file) for file in sorted(folder.iterdir())}


def _sync(path: Path) -> None:
    """Returns once the file's content, or the folder's entries, are on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove_abandoned(bundles: Path) -> None:
    """Removes what processes that are gone were writing."""
    for path in bundles.glob(f"{ASIDE}*"):
        try:
            opened = os.open(path, os.O_RDONLY)
        except OSError:
            continue  # it has just been moved into place
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(opened).st_mtime > ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass  # its writer is at work
        finally:
            os.close(opened)
