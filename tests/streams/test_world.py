"""The catalogue and the space that operators look up, in a Flink worker."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from follow.connection import Connection
from freshet.local.ports import free_ports
from schemas import codec
from schemas.events import Item
from streams import world
from streams.counts import JobCounters
from streams.world import FollowedWorld
from tests.bundles import put_in_force, write_bundle


@pytest.fixture
def nowhere() -> Connection:
    return Connection(f"127.0.0.1:{free_ports()['kafka_port']}")


def test_no_event_is_applied_before_the_catalogue_has_been_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nowhere: Connection
) -> None:
    monkeypatch.setattr(world, "CATALOGUE_DEADLINE_S", 0.5)
    with pytest.raises(TimeoutError, match=r"topic items.*ConnectionRefusedError"):
        world.shared(nowhere, tmp_path)


def test_the_space_is_that_of_the_bundle_in_force_and_a_broken_one_ends_nothing(
    tmp_path: Path, nowhere: Connection
) -> None:
    write_bundle(tmp_path, ["i1"], version="good")
    found = FollowedWorld(nowhere, tmp_path)
    try:
        assert found.space.vector("i1") is not None
        write_bundle(tmp_path / "aside", ["i1", "i2"], version="torn")
        (tmp_path / "aside" / "torn" / "spaces" / "items" / "vectors.npy").write_bytes(b"torn")
        (tmp_path / "aside" / "torn").rename(tmp_path / "torn")
        put_in_force(tmp_path, "torn")
        wait(lambda: not found.health[1].up)
        assert "checksum" in found.health[1].last_error
        assert found.space.vector("i1") is not None
        write_bundle(tmp_path, ["i3"], version="next")
        wait(lambda: found.health[1].up)
        assert found.space.vector("i3") is not None
    finally:
        found.close()


def test_the_catalogue_takes_what_the_job_takes(tmp_path: Path, nowhere: Connection) -> None:
    found = FollowedWorld(nowhere, tmp_path)
    try:
        for key, value in (
            (b"i1", codec.encode(Item("i1", "Heat"))),
            (b"other", codec.encode(Item("i2"))),
            (b"i3", b"noise"),
            (b"i4", None),
        ):
            found._on_item("items", key, value)
        assert found.item("i1") == Item("i1", "Heat")
        assert found.item("i2") is None, "the job writes a dead letter of it"
        assert found.item("i3") is None
        assert found.item("i4") == Item("i4", available=False)
    finally:
        found.close()


def test_errors_of_the_threads_are_counted_for_flink(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nowhere: Connection
) -> None:
    monkeypatch.setattr(world, "CATALOGUE_DEADLINE_S", 0.2)
    before = world.errors()
    with pytest.raises(TimeoutError):
        world.shared(nowhere, tmp_path)
    assert world.errors() > before
    published: list[int] = []
    counter = SimpleNamespace(inc=published.append)
    counts = JobCounters(SimpleNamespace(counter=lambda name: counter))
    totals = iter([2, 2, 5])
    counts.follow("background.errors", lambda: next(totals))
    for now in (1000, 2000, 3000):
        counts.publish(now)
    assert published == [2, 0, 3]


def wait(until: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
