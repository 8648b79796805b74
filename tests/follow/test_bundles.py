"""Newly published bundles are installed; broken ones are refused, said, and end nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from follow import bundles as module
from follow.bundles import BundleWatch
from schemas import bundle
from schemas.bundle import Bundle
from schemas.errors import BundleError
from tests.bundles import put_in_force, write_bundle

SPACE = Path("spaces/items")


def wait(until: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Installed(list[str]):
    """The versions that were installed; the next install raises `error` where that is set."""

    error: Exception | None = None

    def __call__(self, found: Bundle) -> None:
        if self.error:
            raise self.error
        self.append(found.version)


@pytest.fixture
def installed() -> Installed:
    return Installed()


@pytest.fixture
def watch(tmp_path: Path, installed: Installed) -> Iterator[BundleWatch]:
    watch = BundleWatch(tmp_path, installed, every_s=0.01)
    yield watch
    watch.stop()


def broken(bundles: Path, version: str, change: Callable[[Path], object], reseal: bool = False) -> None:
    """Puts a bundle in force whose folder was changed after it was written."""
    write_bundle(bundles / "aside", ["i1", "i2"], version=version)
    folder = bundles / "aside" / version
    change(folder)
    if reseal:
        manifest = folder / "manifest.json"
        said = msgspec.json.decode(manifest.read_bytes())
        files = said["spaces"]["items"]["files"]
        files |= {name: bundle.sha256(folder / SPACE / name) for name in files}
        manifest.write_bytes(msgspec.json.encode(said))
    shutil.move(folder, bundles / version)
    put_in_force(bundles, version)


def test_each_new_bundle_is_installed_once(tmp_path: Path, watch: BundleWatch, installed: Installed) -> None:
    watch.start()
    for version in ("one", "two"):
        write_bundle(tmp_path, ["i1"], version=version)
        wait(lambda version=version: installed[-1:] == [version])
    time.sleep(0.05)
    assert installed == ["one", "two"]
    assert watch.health.up
    assert watch.health.errors == 0


BROKEN = {
    "torn": (lambda folder: (folder / SPACE / "vectors.npy").write_bytes(b"torn"), False, "checksum"),
    "not an array": (lambda folder: (folder / SPACE / "vectors.npy").write_bytes(b"torn"), True, "broken"),
    "an id twice": (lambda folder: (folder / SPACE / "ids.jsonl").write_text('"i1"\n' * 2), True, "an id stands twice"),
    "too few ids": (lambda folder: (folder / SPACE / "ids.jsonl").write_text('"i1"\n'), True, "differ in length"),
    "ids of no text": (lambda folder: (folder / SPACE / "ids.jsonl").write_text("1\n2\n"), True, "Expected `str`"),
    "ids of no JSON": (lambda folder: (folder / SPACE / "ids.jsonl").write_text("{"), True, "broken"),
    "a token twice": (
        lambda folder: (folder / SPACE / "tokens.jsonl").write_text('"a"\n"b"\n"c"\n"a"\n'), True,
        "tokens.jsonl: an id stands twice",
    ),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), False, "no manifest.json"),
    "a manifest of anything": (lambda folder: (folder / "manifest.json").write_text("[]"), False, "manifest.json"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_bundle_is_refused_and_the_next_is_taken(
    tmp_path: Path, watch: BundleWatch, installed: Installed, how: str
) -> None:
    change, reseal, problem = BROKEN[how]
    write_bundle(tmp_path, ["i1"], version="good")
    watch.start()
    wait(lambda: installed == ["good"])
    broken(tmp_path, "broken", change, reseal)
    wait(lambda: not watch.health.up)
    assert problem in watch.health.last_error
    time.sleep(0.05)
    assert watch.health.errors == 1, "it is not read again and again"
    write_bundle(tmp_path, ["i1"], version="next")
    wait(lambda: installed == ["good", "next"])
    wait(lambda: watch.health.up)


def test_a_pointer_to_nowhere_is_said(tmp_path: Path, watch: BundleWatch, installed: Installed) -> None:
    for said in ("../elsewhere", "absent", ""):
        (tmp_path / "current").write_text(said)
        assert not watch.check()
    write_bundle(tmp_path, ["i1"], version="good")
    assert watch.check()
    assert installed == ["good"]


@pytest.mark.parametrize("error", [OSError("the disk does not answer"), RuntimeError("a mistake of ours")])
def test_what_may_pass_is_tried_again_after_a_pause_that_grows(
    tmp_path: Path, watch: BundleWatch, installed: Installed, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    write_bundle(tmp_path, ["i1"], version="good")
    installed.error = error
    tries = []
    for _ in range(20):
        before = watch.health.errors
        installed.error = type(error)(*error.args)
        watch.check()
        tries.append(watch.health.errors - before)
        now += 1.0
    assert [n for n, tried in enumerate(tries) if tried] == [0, 1, 3, 7, 15]
    installed.error = None
    now += 60
    assert watch.check()
    assert installed == ["good"]


def test_what_is_broken_is_read_again_after_a_long_pause(
    tmp_path: Path, watch: BundleWatch, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    write_bundle(tmp_path, ["i1"], version="unfit")
    installed.error = BundleError("its ranker has other inputs")
    assert not watch.check()
    installed.error = None
    for _ in range(59):
        now += 1
        assert not watch.check()
    assert (installed, watch.health.errors) == ([], 1)
    now += 1
    assert watch.check()
    assert installed == ["unfit"]


def test_a_bundle_that_is_copied_in_place_is_installed_once_it_is_complete(
    tmp_path: Path, watch: BundleWatch, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    write_bundle(tmp_path, ["i1"], version="copied")
    (tmp_path / "copied" / SPACE / "vectors.npy").rename(tmp_path / "vectors.npy")
    assert not watch.check()
    (tmp_path / "vectors.npy").rename(tmp_path / "copied" / SPACE / "vectors.npy")
    now += 60
    assert watch.check()
    assert installed == ["copied"]


def test_a_bundle_with_another_manifest_is_read_at_once(
    tmp_path: Path, watch: BundleWatch, installed: Installed
) -> None:
    write_bundle(tmp_path, ["i1"], version="later")
    (tmp_path / "later").rename(tmp_path / "elsewhere")
    for _ in range(2):
        assert not watch.check()
    assert watch.health.errors == 1
    (tmp_path / "elsewhere").rename(tmp_path / "later")
    assert watch.check()
    assert installed == ["later"]


def test_a_broken_bundle_cannot_be_published(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="an id stands twice"):
        write_bundle(tmp_path, ["i1", "i1"])
    assert bundle.current_name(tmp_path) is None
