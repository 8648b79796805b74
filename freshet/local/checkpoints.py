"""Where the job left off: Flink's savepoints and retained checkpoints on disk."""

import shutil
from pathlib import Path

_METADATA = "_metadata"


def newest(*folders: Path) -> Path | None:
    """The newest complete savepoint or checkpoint under the folders, or None where there is none.

    `_metadata` is what Flink writes last, so a folder without it was cut off by a crash. Checkpoints lie in
    `<job id>/chk-N` and each start gets a new job id, hence the time decides and not N.
    """
    found = [path for folder in folders for path in _complete(folder)]
    return max(found, key=lambda path: (path / _METADATA).stat().st_mtime_ns, default=None)


def prune(keep: Path, *folders: Path) -> None:
    """Remove every other savepoint and checkpoint. `keep` must be a savepoint: it refers to no other folder."""
    for folder in folders:
        for child in folder.iterdir() if folder.is_dir() else ():
            if child.is_dir() and child != keep:
                shutil.rmtree(child, ignore_errors=True)


def _complete(folder: Path) -> list[Path]:
    metadata = [*folder.glob(f"*/{_METADATA}"), *folder.glob(f"*/chk-*/{_METADATA}")]
    return [path.parent for path in metadata if path.stat().st_size]
