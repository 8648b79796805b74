import os
from pathlib import Path

from freshet.local.checkpoints import newest, prune


def complete(folder: Path, time: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "_metadata").write_bytes(b"state")
    os.utime(folder / "_metadata", (time, time))
    return folder


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    assert newest(tmp_path / "absent", tmp_path) is None


def test_the_newest_wins_across_job_ids_and_kinds(tmp_path: Path) -> None:
    complete(tmp_path / "checkpoints/jobA/chk-90", 100)
    savepoint = complete(tmp_path / "savepoints/savepoint-1", 200)
    folders = (tmp_path / "savepoints", tmp_path / "checkpoints")
    assert newest(*folders) == savepoint
    later = complete(tmp_path / "checkpoints/jobB/chk-3", 300)
    assert newest(*folders) == later


def test_a_checkpoint_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    good = complete(tmp_path / "job/chk-1", 100)
    (tmp_path / "job/chk-2").mkdir()
    empty = complete(tmp_path / "job/chk-3", 300)
    (empty / "_metadata").write_bytes(b"")
    assert newest(tmp_path) == good


def test_prune_keeps_only_the_savepoint(tmp_path: Path) -> None:
    old = complete(tmp_path / "savepoints/savepoint-1", 100)
    kept = complete(tmp_path / "savepoints/savepoint-2", 300)
    complete(tmp_path / "checkpoints/job/chk-1", 200)
    prune(kept, tmp_path / "savepoints", tmp_path / "checkpoints")
    assert kept.exists()
    assert not old.exists()
    assert list((tmp_path / "checkpoints").iterdir()) == []
