"""The manifest of a bundle: its parts with their inputs and checksums, and which surface uses which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from schemas.errors import BundleError

FORMAT = 2
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class SpacePart(Struct, forbid_unknown_fields=True, frozen=True):
    """An embedding space. Equal ids mean equal vectors, whichever bundle holds them."""

    id: str
    dim: int
    items: int
    files: dict[str, str]


class EncoderPart(Struct, forbid_unknown_fields=True, frozen=True):
    """An encoder into `space`: it reads the person's last `length` items, and `features` of theirs by name."""

    space: str
    length: int
    newest_first: bool
    files: dict[str, str]
    features: list[str] = []


class RankerPart(Struct, forbid_unknown_fields=True, frozen=True):
    """A ranker: its inputs by name, in the order of the model's columns; head → the model's output."""

    inputs: list[str]
    heads: dict[str, str]
    files: dict[str, str]


class TablePart(Struct, forbid_unknown_fields=True, frozen=True):
    """Named arrays: NAME.npy each."""

    files: dict[str, str]


class Use(Struct, forbid_unknown_fields=True, frozen=True):
    """The parts that one surface uses; `objective` has the weights of the ranker's heads."""

    space: str | None = None
    encoder: str | None = None
    ranker: str | None = None
    objective: dict[str, float] = {}
    tables: list[str] = []


class Manifest(Struct, forbid_unknown_fields=True, frozen=True):
    """What a bundle holds. `metrics` are figures from training, for people."""

    format: int
    version: str
    created_at: int
    user_vectors: str
    """the space of the user vectors that the job keeps"""
    spaces: dict[str, SpacePart]
    encoders: dict[str, EncoderPart] = {}
    rankers: dict[str, RankerPart] = {}
    tables: dict[str, TablePart] = {}
    surfaces: dict[str, Use] = {}
    metrics: dict[str, float] = {}

    def parts(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        """(kind, name, file → SHA-256) of each part."""
        kinds: tuple[tuple[str, Mapping[str, Any]], ...] = (
            ("spaces", self.spaces),
            ("encoders", self.encoders),
            ("rankers", self.rankers),
            ("tables", self.tables),
        )
        for kind, parts in kinds:
            for name, part in parts.items():
                yield kind, name, part.files


def check_names(folder: str, manifest: Manifest) -> None:
    """Raises BundleError where a part has no plain name, is used and not there, or does not fit another; `folder`
    begins the message."""
    for kind, name, _ in manifest.parts():
        if not NAME.fullmatch(name):
            raise BundleError(f"{folder}: {name!r} is not the name of one of its {kind}")
    named: dict[str, Mapping[str, Any]] = {
        "space": manifest.spaces,
        "encoder": manifest.encoders,
        "ranker": manifest.rankers,
    }
    used = [("user_vectors", "space", manifest.user_vectors)]
    used += [(f"encoder {name}", "space", part.space) for name, part in manifest.encoders.items()]
    for surface, use in manifest.surfaces.items():
        used += [(f"surface {surface}", kind, name) for kind in named if (name := getattr(use, kind)) is not None]
        for table in use.tables:
            if table not in manifest.tables:
                raise BundleError(f"{folder}: surface {surface} uses the table {table!r}, which it does not hold")
    for user, kind, name in used:
        if name not in named[kind]:
            raise BundleError(f"{folder}: {user} uses the {kind} {name!r}, which it does not hold")
    for surface, use in manifest.surfaces.items():
        if use.encoder is not None and (into := manifest.encoders[use.encoder].space) != use.space:
            raise BundleError(
                f"{folder}: surface {surface} uses the encoder {use.encoder!r} into the space {into!r}, and searches "
                f"the space {use.space!r}: they must be the same"
            )
        heads = set(manifest.rankers[use.ranker].heads) if use.ranker else set()
        if unknown := use.objective.keys() - heads:
            raise BundleError(f"{folder}: surface {surface} weighs the heads {sorted(unknown)}, not {sorted(heads)}")
