"""Publishing: one moment the old bundle is in force, the next the new one, and never half of either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from schemas import bundle, publish
from schemas.errors import BundleError
from tests.bundles import write_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """A folder with the bundle `one` in force."""
    write_bundle(tmp_path / "bundles", ["i1", "i2", "i3"], dim=4, version="one")
    return tmp_path / "bundles"


def in_force(bundles: Path) -> str:
    found = bundle.current(bundles)
    assert found is not None
    return found.version


def names(bundles: Path) -> set[str]:
    return {path.name for path in bundles.iterdir()} - {"current", "traffic.json"}


def test_a_server_under_another_user_may_read_it(bundles: Path) -> None:
    for folder in (bundles / "one", bundles / "one" / "spaces", bundles / "one" / "spaces" / "items"):
        assert folder.stat().st_mode & 0o777 == 0o755


def test_a_newer_bundle_takes_over_and_the_older_stays_readable(bundles: Path) -> None:
    write_bundle(bundles, ["i1"], version="two", seed=1)
    assert in_force(bundles) == "two"
    assert list(bundle.load(bundles / "one").space().item_ids()) == [["i1", "i2", "i3"]]


# -- a publication that fails ----------------------------------------------------------------------


def test_an_error_while_writing_leaves_the_old_one(bundles: Path) -> None:
    def write() -> None:
        with publish.publish(bundles, "two") as writer:
            writer.table("priors", {})
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write()
    assert in_force(bundles) == "one"
    assert names(bundles) == {"one"}


def test_a_bundle_without_its_parts_is_not_published(bundles: Path) -> None:
    with pytest.raises(BundleError, match="user_vectors uses the space 'items'"), publish.publish(bundles, "two"):
        pass
    assert in_force(bundles) == "one"
    assert names(bundles) == {"one"}


def test_a_file_changed_after_its_checksum_is_not_published(bundles: Path) -> None:
    def spoil(writer: publish.BundleWriter) -> None:
        (writer.folder / "spaces" / "items" / "ids.jsonl").write_text('"other"\n')

    with pytest.raises(BundleError, match=r"ids\.jsonl: checksum"):
        write_bundle(bundles, ["i1"], version="two", more=spoil)
    assert in_force(bundles) == "one"


def test_a_version_is_published_once(bundles: Path) -> None:
    before = bundle.load(bundles / "one").manifest
    with pytest.raises(OSError, match="one"):
        write_bundle(bundles, ["other"], version="one", seed=5)
    assert bundle.load(bundles / "one").manifest == before
    assert names(bundles) == {"one"}


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.bundles import write_bundle

replace, calls = Path.replace, []

def die(self, target):
    calls.append(target)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = die
write_bundle(Path(sys.argv[1]), ["new"], version="two")
"""


@pytest.mark.parametrize("step", [1, 2])
def test_killed_at_either_step_the_old_one_is_in_force(bundles: Path, step: int) -> None:
    """Before the folder is in its place, and between that and the pointer."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(bundles), str(step)], env=env, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert in_force(bundles) == "one"
    abandoned = [path for path in bundles.iterdir() if path.name.startswith(publish.ASIDE)]
    assert len(abandoned) == (1 if step == 1 else 0)
    for path in abandoned:
        os.utime(path, (0, time.time() - 2 * publish.ABANDONED_S))
    write_bundle(bundles, ["newer"], version="three")
    assert in_force(bundles) == "three"
    assert not [path for path in bundles.iterdir() if path.name.startswith(publish.ASIDE)]


def test_what_another_process_is_writing_stays(bundles: Path) -> None:
    with publish.publish(bundles, "slow") as writer:
        os.utime(writer.folder, (0, time.time() - 2 * publish.ABANDONED_S))
        write_bundle(bundles, ["i1"], version="quick")
        assert writer.folder.is_dir()
        none = np.zeros((0, 4), np.float32)
        writer.space("items", "empty", [], none, np.zeros(0, np.uint64), [], none)
    assert in_force(bundles) == "slow"


def test_files_and_folders_are_synced_before_they_are_named(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: every file and folder of the bundle, its place, the pointer's content, the pointer's place."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(opened: int) -> None:
        done.append("sync " + Path(f"/proc/self/fd/{opened}").readlink().name)
        sync(opened)

    def replaced(self: Path, target: Path) -> Path:
        done.append(f"replace {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_bundle(bundles, ["i1"], version="two", served=True)
    place, pointer = done.index("replace two"), done.index("replace current")
    files = {path.name for path in (bundles / "two").rglob("*")}
    assert {f"sync {name}" for name in files} <= set(done[:place])
    assert done[place + 1] == "sync bundles"
    assert done[pointer - 1].startswith("sync .current-")
    assert done[pointer + 1] == "sync bundles"


# -- old bundles -----------------------------------------------------------------------------------


def test_the_last_five_are_kept(bundles: Path) -> None:
    for n in range(7):
        write_bundle(bundles, ["i1"], version=f"v{n}")
    assert names(bundles) == {"v2", "v3", "v4", "v5", "v6"}


def test_those_in_force_and_named_in_the_traffic_file_are_kept(bundles: Path) -> None:
    write_bundle(bundles, ["i1"], version="candidate")
    (bundles / "traffic.json").write_text('{"candidate": {"bundle": "candidate", "share": 0.1}}')
    for n in range(7):
        write_bundle(bundles, ["i1"], version=f"v{n}")
    assert names(bundles) == {"candidate", "v3", "v4", "v5", "v6"}
    (bundles / "current").write_text("v3\n")
    assert publish.prune(bundles, kept=1) == ["v6", "v5", "v4"]
    assert names(bundles) == {"candidate", "v3"}


def test_nothing_is_removed_while_the_traffic_file_cannot_be_read(bundles: Path) -> None:
    (bundles / "traffic.json").write_text("noise")
    for n in range(7):
        write_bundle(bundles, ["i1"], version=f"v{n}")
    assert len(names(bundles)) == 8
