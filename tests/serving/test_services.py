"""Starting: how long the catalogue is waited for. Stopping: every part is closed, whatever the others do."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from serving.services import Services
from serving.settings import ServingSettings
from tests.serving.made import Api, Log, Rows


def test_the_wait_for_the_catalogue_begins_once_it_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles may take longer to load than the catalogue is waited for."""
    settings = ServingSettings(bundles=tmp_path, catalogue_wait_s=0.2)
    services = Services.of(settings, Rows, Log())  # type: ignore[arg-type]
    ready: list[bool] = []

    async def slow() -> None:
        await asyncio.sleep(0.3)
        ready.append(services.ready)

    async def started() -> None:
        await services.start(follow=False)
        try:
            assert [*ready, services.ready] == [False, False]
            async with asyncio.timeout(5):
                while not services.ready:
                    await asyncio.sleep(0.01)
            assert not services.complete
        finally:
            await services.stop()

    monkeypatch.setattr(services, "refresh_model", slow)
    asyncio.run(started())


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
