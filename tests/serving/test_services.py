"""Stopping: every part is closed, whatever the others do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.serving.made import Api


def test_impressions_wait_for_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle may load, and a broker may be silent, for as long as the supervisor waits."""
    api = Api(tmp_path)
    closed, both, ended = threading.Event(), threading.Barrier(2), []

    async def close() -> None:
        closed.set()

    class Thread:
        def stop(self) -> None:
            both.wait(10)
            ended.append(closed.wait(10))

    stop = api.services.models.stop
    monkeypatch.setattr(api.log, "close", close)
    monkeypatch.setattr(api.services.models, "stop", Thread().stop)
    monkeypatch.setattr(api.services, "_follower", Thread())
    api.close()
    stop()
    assert ended == [True, True]


def test_a_part_that_cannot_be_stopped_keeps_none_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(tmp_path)
    closed: list[str] = []

    async def close() -> None:
        closed.append("events")

    async def broken() -> None:
        raise RuntimeError("not this one")

    monkeypatch.setattr(api.log, "close", close)
    monkeypatch.setattr(api.services.impressions, "stop", broken)
    with pytest.raises(RuntimeError, match="not this one"):
        api.run(api.services.stop())
    assert closed == ["events"]
    assert not api.services.models._loop.alive
    monkeypatch.undo()
    api.close()
