"""The bundle: the only thing that passes from training to serving and streams.

    bundles/
      current                     the name of the bundle in force, one line
      traffic.json                optional: bundles that serve beside it (schemas/traffic.py)
      20260101T100000-ab12/
        manifest.json             format, version, the parts with their inputs and checksums, which surface uses which
        spaces/NAME/ids.jsonl     one item id a line, as JSON; line n is label n
                    vectors.npy   float32 (items, dim), unit length
                    origins.npy   uint64 (items,): 0 where people's behaviour is part of the vector, otherwise the hash
                                  of the content tokens that it was made of (operators/space.py)
                    tokens.jsonl  one content token a line
                    content.npy   float32 (tokens, dim), the vector of each token in the same space
                    index.hnsw    hnswlib, inner product, over the labels; only where a surface searches the space
        encoders/NAME/model.onnx  a person's last items and features → a vector of a space (recommend/onnx_encoder.py)
        rankers/NAME/model.onnx   "features" float32 (n, inputs) → one output a head, (n,) or (n, 1)
        tables/NAME/ARRAY.npy     named arrays: transitions, co-occurrence, priors

A bundle is read here and written in schemas/publish.py. Nothing in it is a pickle.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from schemas.errors import BundleError
from schemas.manifest import FORMAT, Manifest, SpacePart, check_names

MANIFEST = "manifest.json"
CURRENT = "current"
CHUNK = 2000
"""lines decoded at once: well under a millisecond, so that a server that loads a bundle goes on answering"""

IDS, TOKENS = "ids.jsonl", "tokens.jsonl"
VECTORS, CONTENT, ORIGINS = "vectors.npy", "content.npy", "origins.npy"
INDEX, MODEL = "index.hnsw", "model.onnx"
NEEDED = {
    "spaces": {IDS, TOKENS, VECTORS, CONTENT, ORIGINS},
    "encoders": {MODEL},
    "rankers": {MODEL},
    "tables": set[str](),
}
"""kind of part, which is also the name of its folder → files that each of them has"""


class _Format(Struct):
    format: int = 1


@dataclass(frozen=True)
class StoredSpace:
    """One space of a bundle on disk; arrays are memory-mapped."""

    folder: Path
    part: SpacePart

    def item_ids(self) -> Iterator[list[str]]:
        """Item ids in the order of labels, some CHUNK of them at once."""
        return _lines(self.folder / IDS)

    def tokens(self) -> Iterator[list[str]]:
        """Content tokens in the order of `content`'s rows, some CHUNK of them at once."""
        return _lines(self.folder / TOKENS)

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """Unit vectors (items, dim), mapped copy-on-write: a change stays in memory and costs the pages it touches."""
        return self._matrix(VECTORS, "c")

    @property
    def content(self) -> npt.NDArray[np.float32]:
        """The tokens' vectors (tokens, dim)."""
        return self._matrix(CONTENT)

    @property
    def origins(self) -> npt.NDArray[np.uint64]:
        """Origins (items,) of the vectors: 0 for behaviour, otherwise a hash of content tokens."""
        found = read_array(self.folder / ORIGINS)
        if found.shape != (self.part.items,) or found.dtype != np.uint64:
            raise BundleError(f"{_path(self.folder / ORIGINS)}: expected uint64 ({self.part.items},)")
        return found

    @property
    def index(self) -> Path | None:
        """The file of the HNSW index, None where the space has none."""
        return self.folder / INDEX if INDEX in self.part.files else None

    def check(self) -> None:
        """Raises BundleError where lengths differ, an id stands twice or a number is not finite."""
        ids, tokens = _hashes(self.item_ids()), _hashes(self.tokens())
        if len(ids) != self.part.items or len(self.vectors) != len(ids) or len(self.origins) != len(ids):
            raise BundleError(f"{_path(self.folder)}: ids, vectors and the manifest differ in length")
        if len(tokens) != len(self.content):
            raise BundleError(f"{_path(self.folder)}: tokens and content differ in length")
        for name, hashes in ((IDS, ids), (TOKENS, tokens)):
            if len(np.unique(hashes)) != len(hashes):
                raise BundleError(f"{_path(self.folder / name)}: an id stands twice")
        for name, array in ((VECTORS, self.vectors), (CONTENT, self.content)):
            if not _finite(array):
                raise BundleError(f"{_path(self.folder / name)}: a number is not finite")

    def _matrix(self, name: str, mode: Literal["r", "c"] = "r") -> npt.NDArray[np.float32]:
        found = read_array(self.folder / name, mode)
        if found.ndim != 2 or found.shape[1] != self.part.dim or found.dtype != np.float32:
            raise BundleError(f"{_path(self.folder / name)}: expected float32 (rows, {self.part.dim})")
        return found


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk."""

    path: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        return self.manifest.version

    def space(self, name: str = "") -> StoredSpace:
        """The space of this name; that of the job's user vectors where none is given."""
        name = name or self.manifest.user_vectors
        return StoredSpace(self.path / "spaces" / name, self.manifest.spaces[name])

    def onnx(self, kind: str, name: str) -> bytes:
        """The model of an encoder or a ranker."""
        return (self.path / kind / name / MODEL).read_bytes()

    def table(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Array name → array, memory-mapped."""
        return {
            file.removesuffix(".npy"): read_array(self.path / "tables" / name / file)
            for file in self.manifest.tables[name].files
        }


def load(path: Path) -> Bundle:
    """The bundle at `path`: every checksum, length and name verified. Raises BundleError, and OSError where a file
    that is there cannot be read."""
    try:
        content = (path / MANIFEST).read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path.name}: no {MANIFEST}") from None
    try:
        found = msgspec.json.decode(content, type=_Format).format
        if found != FORMAT:
            raise BundleError(
                f"{path.name} has format {found} and this version reads format {FORMAT}: train again (`freshet train`)"
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"{path.name}/{MANIFEST}: {error}") from None
    bundle = Bundle(path, manifest)
    check_names(path.name, manifest)
    _check_files(path, manifest)
    try:
        for name in manifest.spaces:
            bundle.space(name).check()
        for name in manifest.tables:
            bundle.table(name)
    except (ValueError, EOFError) as error:  # NumPy's and msgspec's errors for a file that is none of theirs
        raise BundleError(f"{path.name}: {error}") from None
    return bundle


def manifests(bundles: Path) -> Iterator[tuple[str, Manifest]]:
    """(version, manifest) of every bundle in the folder whose manifest can be read; files are not checked."""
    for path in sorted(bundles.glob(f"*/{MANIFEST}")):
        try:
            yield path.parent.name, msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (msgspec.MsgspecError, OSError):
            continue  # of an older format, or being removed


def current_name(bundles: Path) -> str | None:
    """The name of the bundle in force: cheap enough to ask every second."""
    try:
        name = (bundles / CURRENT).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None
    if not is_name(name):
        raise BundleError(f"{CURRENT}: {name!r} is not the name of a bundle")
    return name


def current(bundles: Path) -> Bundle | None:
    """The bundle in force, or None where none has been published. Raises BundleError."""
    name = current_name(bundles)
    return load(bundles / name) if name else None


def is_name(name: str) -> bool:
    """Whether a text can be the name of a bundle's folder."""
    return bool(name) and not name.startswith(".") and Path(name).name == name and "\0" not in name


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_array(path: Path, mode: Literal["r", "c"] = "r") -> npt.NDArray[Any]:
    """The array of a .npy file, memory-mapped. Raises ValueError for anything else, Python objects included."""
    return np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))


def _check_files(path: Path, manifest: Manifest) -> None:
    for kind, part, files in manifest.parts():
        folder = path / kind / part
        for name in NEEDED[kind] - files.keys():
            raise BundleError(f"{path.name}: {kind}/{part} has no {name}")
        for name, expected in files.items():
            file = folder / name
            if Path(name).name != name or not file.is_file():
                raise BundleError(f"{path.name}: {kind}/{part}/{name}: missing")
            if kind == "tables" and file.suffix != ".npy":
                raise BundleError(f"{path.name}: {kind}/{part}/{name}: a table's files are .npy")
            if sha256(file) != expected:
                raise BundleError(f"{path.name}: {kind}/{part}/{name}: checksum differs from the manifest")


def _path(file: Path) -> str:
    return "/".join(file.parts[-4 if file.suffix else -3 :])


def _lines(path: Path) -> Iterator[list[str]]:
    decode = msgspec.json.Decoder(str).decode_lines
    with path.open("rb") as file:
        while lines := list(islice(file, CHUNK)):
            yield decode(b"".join(lines))
            time.sleep(0.0002)  # so that threads that answer requests go first


def _hashes(chunks: Iterator[list[str]]) -> npt.NDArray[np.int64]:
    """Python's hashes (n,) of the texts, by which ids that stand twice are found without holding all of them."""
    found = [np.fromiter(map(hash, chunk), np.int64, len(chunk)) for chunk in chunks]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _finite(array: npt.NDArray[np.float32]) -> bool:
    return all(np.isfinite(array[start : start + 65_536]).all() for start in range(0, len(array), 65_536))
