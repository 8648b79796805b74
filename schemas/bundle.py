"""The bundle: the only thing that passes from training to serving and streams.

    bundles/
      current               the name of the bundle in force, one line
      20260101T100000-ab12/
        manifest.json       version, space, features in order, SHA-256 of each other file
        items.json          item ids, in the order of the vectors' rows
        vectors.npy         float32 (items, dim), unit length
        tokens.json         content tokens, in the order of the content matrix's rows
        content.npy         float32 (tokens, dim): what each token says in the same space
        index.hnsw          hnswlib, inner product, label = row
        ranker.onnx         float32 (n, features) → float32 (n,) or (n, 1)

A bundle is written aside and moved into place, then `current` is replaced: a reader sees the old
one or the new one, whole. Nothing in it is a pickle.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from schemas.errors import BundleError

MANIFEST = "manifest.json"
CURRENT = "current"


class Manifest(Struct, forbid_unknown_fields=True, frozen=True):
    """What a bundle holds. `metrics` are figures from training, for people."""

    version: str
    space_id: str
    dim: int
    items: int
    features: list[str]
    created_at: int
    files: dict[str, str]
    metrics: dict[str, float] = {}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk."""

    path: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def item_ids(self) -> list[str]:
        """Item ids in row order."""
        return msgspec.json.decode((self.path / "items.json").read_bytes(), type=list[str])

    @property
    def tokens(self) -> list[str]:
        """Content tokens in row order."""
        return msgspec.json.decode((self.path / "tokens.json").read_bytes(), type=list[str])

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """`vectors` or `content`: float32 (rows, dim), mapped from disk."""
        found = np.asarray(np.load(self.path / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        if found.ndim != 2 or found.shape[1] != self.manifest.dim or found.dtype != np.float32:
            raise BundleError(f"{self.path.name}/{name}.npy: expected float32 (rows, {self.manifest.dim})")
        return found


def load(path: Path) -> Bundle:
    """The bundle at `path`, its checksums, ids and lengths verified. Raises BundleError."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BundleError(f"{path.name}: no {MANIFEST}") from None
    except msgspec.MsgspecError as error:
        raise BundleError(f"{path.name}/{MANIFEST}: {error}") from None
    for name, expected in manifest.files.items():
        file = path / name
        if Path(name).name != name or not file.is_file():
            raise BundleError(f"{path.name}/{name}: missing")
        if sha256(file) != expected:
            raise BundleError(f"{path.name}/{name}: checksum differs from the manifest")
    found = Bundle(path, manifest)
    _check_rows(found)
    return found


def _check_rows(bundle: Bundle) -> None:
    """Raises BundleError where ids or tokens repeat, or do not fit the rows of their vectors."""
    for file, names, array in (("items.json", "item_ids", "vectors"), ("tokens.json", "tokens", "content")):
        try:
            ids, rows = getattr(bundle, names), len(bundle.array(array))
        except (OSError, ValueError) as error:  # of msgspec and numpy
            raise BundleError(f"{bundle.path.name}: {file} or {array}.npy cannot be read ({error})") from None
        if len(set(ids)) != len(ids):
            raise BundleError(f"{bundle.path.name}/{file}: an id stands twice")
        if len(ids) != rows:
            raise BundleError(f"{bundle.path.name}/{file}: {len(ids)} ids for the {rows} rows of {array}.npy")
    if len(bundle.item_ids) != bundle.manifest.items:
        raise BundleError(f"{bundle.path.name}/items.json: the manifest says {bundle.manifest.items} items")


def current_name(bundles: Path) -> str | None:
    """The name of the bundle in force: cheap enough to ask every second."""
    try:
        name = (bundles / CURRENT).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    if not name or name.startswith(".") or Path(name).name != name:
        raise BundleError(f"{CURRENT}: {name!r} is not the name of a bundle")
    return name


def current(bundles: Path) -> Bundle | None:
    """The bundle in force, or None where none has been published. Raises BundleError."""
    name = current_name(bundles)
    return load(bundles / name) if name else None


@contextmanager
def publish(bundles: Path, version: str) -> Iterator[Path]:
    """A folder to write the files into (without the manifest: see `seal`); on a clean exit it
    becomes the bundle in force. On an error nothing changes."""
    bundles.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=bundles))
    try:
        yield aside
        load(aside)
        aside.chmod(0o755)  # mkdtemp's is for us alone; the server may run as somebody else
        aside.replace(bundles / version)
        pointer = bundles / f".{CURRENT}-{os.getpid()}"
        pointer.write_text(version + "\n")
        pointer.replace(bundles / CURRENT)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def seal(
    folder: Path,
    *,
    version: str,
    space_id: str,
    dim: int,
    items: int,
    features: list[str],
    created_at: int,
    metrics: dict[str, float],
) -> Manifest:
    """Writes the manifest over the files in `folder`."""
    files = {f.name: sha256(f) for f in sorted(folder.iterdir()) if f.name != MANIFEST}
    manifest = Manifest(version, space_id, dim, items, features, created_at, files, metrics)
    encoded = msgspec.json.encode(manifest)
    (folder / MANIFEST).write_bytes(msgspec.json.format(encoded, indent=2))
    return manifest


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
