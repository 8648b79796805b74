"""Which declared features have replaced others in the feature services."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from feature_repo.repository import Repository, full_name
from operators.features import Feature

PROMOTED = "promoted.json"


def promoted(home: Path) -> frozenset[str]:
    """The full names of features that replace others in their services, as stored in `home`."""
    try:
        return frozenset(json.loads((home / PROMOTED).read_text()))
    except FileNotFoundError:
        return frozenset()


def keep_promoted(home: Path, names: Collection[str]) -> None:
    """Stores the names that `promoted` reads."""
    aside = home / f".{PROMOTED}"
    aside.write_text(json.dumps(sorted(names)))
    aside.replace(home / PROMOTED)


def promote(repository: Repository, feature: Feature, before: Collection[str]) -> frozenset[str]:
    """The promoted names after this feature's promotion: of all features that replace the same one, directly or not,
    this one and those between them."""
    every = [f for found in repository.features.values() for f in found]
    rivals = {full_name(f) for f in every if _line(f)[-1] is _line(feature)[-1]}
    kept = {full_name(f) for f in every} & set(before) - rivals
    return frozenset(kept | {full_name(f) for f in _line(feature) if f.replaces})


def _line(feature: Feature) -> list[Feature]:
    """The feature, what it replaces, what that replaces …"""
    found = [feature]
    while found[-1].replaces is not None:
        found.append(found[-1].replaces)
    return found
