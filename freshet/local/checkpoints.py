"""Finds the savepoint or retained checkpoint on disk from which the job resumes."""

import shutil
from pathlib import Path

_METADATA = "_metadata"


def newest(*folders: Path) -> Path | None:
    """The newest complete savepoint or checkpoint under the folders, or None where there is none.

    Flink writes `_metadata` last, so that a folder without it is incomplete. Checkpoints are in `<job id>/chk-N`, and
    each start has a new job id: the newest is found by its time, not by N.
    """
    found = [path for folder in folders for path in _complete(folder)]
    return max(found, key=lambda path: (path / _METADATA).stat().st_mtime_ns, default=None)


def prune(keep: Path, *folders: Path) -> None:
    """Removes every other savepoint and checkpoint. `keep` must be a savepoint: it refers to no other folder."""
    for folder in folders:
        for child in folder.iterdir() if folder.is_dir() else ():
            if child.is_dir() and child != keep:
                shutil.rmtree(child, ignore_errors=True)


def _complete(folder: Path) -> list[Path]:
    metadata = [*folder.glob(f"*/{_METADATA}"), *folder.glob(f"*/chk-*/{_METADATA}")]
    return [path.parent for path in metadata if path.stat().st_size]
