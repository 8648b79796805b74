"""Bundles: one moment the old one is in force, the next the new one, and never half of either."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from schemas import bundle
from schemas.bundle import Manifest
from schemas.errors import BundleError
from tests.bundles import write_bundle

FILES = ("items.json", "tokens.json", "vectors.npy", "content.npy")


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """A folder with the bundle `one` in force."""
    write_bundle(tmp_path / "bundles", ["i1", "i2", "i3"], dim=4, version="one")
    return tmp_path / "bundles"


def in_force(bundles: Path) -> str:
    found = bundle.current(bundles)
    assert found is not None
    return found.version


def rewrite_manifest(bundles: Path, **change: object) -> None:
    path = bundles / "one" / "manifest.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | change))


def test_what_was_published_is_read(bundles: Path) -> None:
    found = bundle.current(bundles)
    assert found is not None
    assert (found.version, found.item_ids, found.tokens[0]) == ("one", ["i1", "i2", "i3"], "category:c0")
    assert found.array("vectors").shape == (3, 4)
    np.testing.assert_allclose(np.linalg.norm(found.array("content"), axis=1), 1, rtol=1e-6)
    assert set(found.manifest.files) == set(FILES)
    assert (found.manifest.dim, found.manifest.items, found.manifest.space_id) == (4, 3, "space-0")


def test_a_server_under_another_user_may_read_it(bundles: Path) -> None:
    assert (bundles / "one").stat().st_mode & 0o777 == 0o755


def test_arrays_are_for_reading_alone(bundles: Path) -> None:
    vectors = bundle.load(bundles / "one").array("vectors")
    with pytest.raises(ValueError, match="read-only"):
        vectors[0, 0] = 1


def test_nothing_published_yet(tmp_path: Path) -> None:
    assert bundle.current(tmp_path) is None
    assert bundle.current(tmp_path / "nowhere") is None


def test_a_newer_bundle_takes_over_and_the_older_stays_readable(bundles: Path) -> None:
    write_bundle(bundles, ["i1"], version="two", seed=1)
    assert in_force(bundles) == "two"
    assert bundle.load(bundles / "one").item_ids == ["i1", "i2", "i3"]


# -- a publication that fails ----------------------------------------------------------------------


def leftovers(bundles: Path) -> set[str]:
    return {path.name for path in bundles.iterdir()} - {"one", "current"}


def test_an_error_while_writing_leaves_the_old_one(bundles: Path) -> None:
    def write() -> None:
        with bundle.publish(bundles, "two") as folder:
            (folder / "items.json").write_text("[]")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write()
    assert in_force(bundles) == "one"
    assert leftovers(bundles) == set()


def test_a_bundle_that_was_not_sealed_is_not_published(bundles: Path) -> None:
    with pytest.raises(BundleError, match="no manifest"), bundle.publish(bundles, "two") as folder:
        (folder / "items.json").write_text("[]")
    assert in_force(bundles) == "one"
    assert leftovers(bundles) == set()


def test_a_file_changed_after_the_seal_is_not_published(bundles: Path) -> None:
    def write() -> None:
        with bundle.publish(bundles, "two") as folder:
            (folder / "items.json").write_text("[]")
            bundle.seal(folder, version="two", space_id="s", dim=4, items=0, features=[], created_at=0, metrics={})
            (folder / "items.json").write_text('["i1"]')

    with pytest.raises(BundleError, match=r"items\.json: checksum"):
        write()
    assert in_force(bundles) == "one"


def test_a_version_is_published_once(bundles: Path) -> None:
    before = bundle.load(bundles / "one").manifest
    with pytest.raises(OSError, match="one"):
        write_bundle(bundles, ["other"], version="one", seed=5)
    assert bundle.load(bundles / "one").manifest == before
    assert leftovers(bundles) == set()


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
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(bundles), str(step)], env=env, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert in_force(bundles) == "one"
    write_bundle(bundles, ["newer"], version="three")
    assert in_force(bundles) == "three"


# -- a bundle that is broken -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(bundles: Path, name: str) -> None:
    file = bundles / "one" / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}: checksum differs"):
        bundle.current(bundles)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundles: Path, name: str) -> None:
    (bundles / "one" / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        bundle.current(bundles)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "one"}', "\xff"])
def test_a_manifest_that_cannot_be_read(bundles: Path, text: str) -> None:
    (bundles / "one" / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        bundle.current(bundles)


def test_a_manifest_from_the_future_is_refused(bundles: Path) -> None:
    rewrite_manifest(bundles, colour="red")
    with pytest.raises(BundleError, match="colour"):
        bundle.current(bundles)


@pytest.mark.parametrize("escape", ["../secret", "/etc/hostname", "sub/file", "..", ".", ""])
def test_a_manifest_reaches_no_file_outside_its_folder(bundles: Path, escape: str) -> None:
    secret = bundles / "secret"
    secret.write_text("secret")
    (bundles / "one" / "sub").mkdir()
    (bundles / "one" / "sub" / "file").write_text("secret")
    rewrite_manifest(bundles, files={escape: bundle.sha256(secret)})
    with pytest.raises(BundleError, match="missing"):
        bundle.current(bundles)


@pytest.mark.parametrize("name", ["../outside", "..", ".", "", "\n", "/", "one/../one", ".writing-abc", "\ufffd/\x00"])
def test_the_pointer_names_nothing_but_a_bundle(bundles: Path, name: str) -> None:
    write_bundle(bundles.parent / "other", ["x"], version="outside")
    (bundles.parent / "other" / "outside").replace(bundles.parent / "outside")
    (bundles / "current").write_text(name)
    with pytest.raises(BundleError, match="not the name of a bundle"):
        bundle.current(bundles)


def test_a_pointer_of_noise_is_a_bundle_error(bundles: Path) -> None:
    (bundles / "current").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError):
        bundle.current(bundles)


def test_a_pointer_to_a_bundle_that_is_gone(bundles: Path) -> None:
    (bundles / "current").write_text("gone\n")
    with pytest.raises(BundleError, match="gone: no manifest"):
        bundle.current(bundles)


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 5), np.float32), np.zeros((3, 4)), np.zeros(12, np.float32), np.zeros((3, 4), ">f4")],
    ids=["dim", "dtype", "flat", "byte order"],
)
def test_an_array_of_another_shape_or_type_is_refused(bundles: Path, array: np.ndarray) -> None:
    np.save(bundles / "one" / "vectors.npy", array)
    with pytest.raises(BundleError, match=r"expected float32 \(rows, 4\)"):
        bundle.Bundle(bundles / "one", manifest()).array("vectors")


def manifest() -> Manifest:
    return Manifest("one", "space", 4, 3, [], 0, {})


def test_nothing_in_a_bundle_is_unpickled(bundles: Path) -> None:
    np.save(bundles / "one" / "vectors.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        bundle.Bundle(bundles / "one", manifest()).array("vectors")
