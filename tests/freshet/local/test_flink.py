"""The Flink component against a REST API that answers as Flink does; the real one is in the integration tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.local import flink, mini_cluster
from freshet.settings import Settings

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path / "home")
    found.savepoints.mkdir(parents=True)
    found.checkpoints.mkdir()
    found.run.mkdir()
    return found


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Callable[[Handler], None]:
    def answer_with(handler: Handler) -> None:
        def call(method: str, url: str, json: Any = None, **_: Any) -> httpx.Response:
            request = httpx.Request(method, url, json=json)
            response = handler(request)
            response.request = request
            return response

        monkeypatch.setattr(httpx, "get", lambda url, **options: call("GET", url, **options))
        monkeypatch.setattr(httpx, "post", lambda url, **options: call("POST", url, **options))

    return answer_with


def overview(state: str, running: int, total: int) -> httpx.Response:
    return httpx.Response(
        200, json={"jobs": [{"jid": "j1", "state": state, "tasks": {"running": running, "total": total}}]}
    )


@pytest.mark.parametrize(
    ("state", "running", "ready"), [("RUNNING", 3, True), ("RUNNING", 2, False), ("RESTARTING", 3, False)]
)
def test_ready_means_that_every_task_runs(
    state: str, running: int, ready: bool, settings: Settings, rest: Callable[[Handler], None]
) -> None:
    rest(lambda _: overview(state, running, 3))
    assert flink.Flink().is_ready(settings) is ready


def test_not_ready_while_nobody_listens(settings: Settings, rest: Callable[[Handler], None]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    rest(refuse)
    assert flink.Flink().is_ready(settings) is False


def test_no_error_of_anybody_is_kept_out_of_the_log() -> None:
    levels = [line.split("=")[1].strip() for line in mini_cluster._LOG4J.splitlines() if ".level" in line.lower()]
    assert levels[0] == "WARN", "the root"
    assert set(levels[1:]) == {"INFO", "ERROR"}


def test_stop_takes_a_savepoint_and_drops_what_it_replaces(settings: Settings, rest: Callable[[Handler], None]) -> None:
    old = settings.checkpoints / "job" / "chk-1"
    old.mkdir(parents=True)
    (old / "_metadata").write_text("state")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            made = settings.savepoints / "savepoint-1"
            made.mkdir()
            (made / "_metadata").write_text("state")
            return httpx.Response(202, json={"request-id": "r1"})
        if request.url.path.endswith("/savepoints/r1"):
            raise httpx.ReadError("the mini cluster ended with its job")
        return overview("RUNNING", 3, 3)

    rest(answer)
    said: list[str] = []
    flink.Flink().before_stop(settings, said.append)
    assert said == ["savepoint savepoints/savepoint-1"]
    assert (settings.run / "flink-savepoint").read_text() == f"{settings.savepoints / 'savepoint-1'}\n"
    assert not old.exists()


def test_a_failed_savepoint_keeps_the_checkpoint(settings: Settings, rest: Callable[[Handler], None]) -> None:
    checkpoint = settings.checkpoints / "job" / "chk-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "_metadata").write_text("state")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json={"request-id": "r1"})
        if request.url.path.endswith("/savepoints/r1"):
            failed = {"failure-cause": {"class": "CheckpointException"}}
            return httpx.Response(200, json={"status": {"id": "COMPLETED"}, "operation": failed})
        return overview("RUNNING", 3, 3)

    rest(answer)
    said: list[str] = []
    flink.Flink().before_stop(settings, said.append)
    assert "CheckpointException" in said[0]
    assert checkpoint.exists()
