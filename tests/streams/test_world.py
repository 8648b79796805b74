"""The catalogue and the space that operators look up, in a Flink worker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from freshet.local.ports import free_ports
from schemas import bundle
from schemas.bundle import Bundle
from streams import world
from tests.bundles import write_bundle


def test_no_event_is_taken_before_the_catalogue_has_been_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "CATALOGUE_DEADLINE_S", 0.1)
    with pytest.raises(TimeoutError, match="topic items"):
        world.shared(f"127.0.0.1:{free_ports()['kafka_port']}", tmp_path)


def test_a_broken_bundle_is_read_once_and_one_that_could_not_be_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(world, "Follower", lambda *_: SimpleNamespace(start=lambda: None))
    tries: list[str] = []

    def load(path: Path) -> Bundle:
        tries.append(path.name)
        if len(tries) == 1:
            raise OSError("the disk does not answer")
        return bundle.load(path)

    monkeypatch.setattr(world, "bundle", SimpleNamespace(load=load, current_name=bundle.current_name))
    write_bundle(tmp_path, ["i1"], version="good")
    found = world.LiveWorld("kafka", tmp_path)
    assert found.space.id == ""
    found.refresh_space()
    assert found.space.vector("i1") is not None
    write_bundle(tmp_path, ["i1"], version="torn")
    (tmp_path / "torn" / "spaces" / "items" / "vectors.npy").write_bytes(b"torn")
    for _ in range(3):
        found.refresh_space()
    assert tries == ["good", "good", "torn"]
    assert found.space.vector("i1") is not None
