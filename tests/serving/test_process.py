"""Server processes as they run: one thread of linear algebra each, and several of them on one port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from freshet.cli import main
from freshet.local.ports import free_ports
from freshet.local.server import processes
from freshet.local.stack import Stack
from freshet.settings import Settings, setting_name
from serving.siblings import ProcessState
from serving.tokens import Token
from tests.live import until

THREADS = """
import json, runpy
runpy.run_module("serving", run_name="as if by -m")
from serving import process  # as `main` does
from threadpoolctl import threadpool_info
print(json.dumps([pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]))
"""


@pytest.mark.parametrize("chosen", [None, "2"])
def test_a_server_that_is_started_by_hand_has_one_thread_of_linear_algebra(chosen: str | None) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_"))}
    if chosen:
        env["OPENBLAS_NUM_THREADS"] = chosen
    done = subprocess.run([sys.executable, "-c", THREADS], env=env, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found
    assert set(found) == ({min(int(chosen), os.cpu_count() or 1)} if chosen else {1})


# -- several on one port ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, Redis and a server of two processes."""
    settings = Settings(home=tmp_path_factory.mktemp("several"), server_processes=2, **free_ports())
    with Stack(settings, report=print) as stack:
        stack.up(["kafka", "redis", "server"])
        yield stack


@pytest.fixture
def several(started: Stack) -> Stack:
    """All of them up, also after a test that has taken the server away."""
    started.up(["kafka", "redis", "server"])
    return started


def click(user: str) -> dict[str, object]:
    return {
        "event_id": uuid.uuid4().hex, "event_type": "click", "user_id": user, "item_id": "i1",
        "timestamp": int(time.time() * 1000),
    }  # fmt: skip


@contextmanager
def connections(url: str) -> Iterator[list[tuple[httpx.Client, str]]]:
    """A connection to each of two processes, with the token of a click of `u1`. A connection stays with the process
    that has taken it."""
    found: dict[str, tuple[httpx.Client, str]] = {}
    with ExitStack() as closing:

        def connect() -> bool:
            client = closing.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
            token = client.post("/v1/events", json=click("u1")).raise_for_status().json()["token"]
            found.setdefault(Token.decode(token).issuer, (client, token))
            return len(found) == 2

        until(connect)
        yield list(found.values())


def serving(settings: Settings) -> list[ProcessState]:
    """The processes, once all of them serve."""
    found = processes(settings)
    return found if found and {process.state for process in found} == {"serving"} else []


@pytest.mark.integration
def test_a_token_of_one_process_waits_at_another_and_holds_at_its_own(several: Stack) -> None:
    with connections(several.settings.http_url) as ((one, _), (other, token)):
        own = other.get("/v1/users/u1/feed", params={"after": token}).raise_for_status().json()
        assert own["freshness"]["caught_up"], "the process that wrote the click applies it itself"
        foreign = one.get("/v1/users/u1/feed", params={"after": token}).raise_for_status().json()
        # No job runs here, so that the row, for which it waits, does not come.
        assert not foreign["freshness"]["caught_up"]


@pytest.mark.integration
def test_metrics_and_status_are_of_both(
    several: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = several.settings
    with connections(settings.http_url) as both:
        texts = [client.get("/metrics").text for client, _ in both]
    for text in texts:
        for number in (1, 2):
            assert f'freshet_process_up{{process="{number}"}} 1.0' in text
            assert f'freshet_events_total{{process="{number}",result="accepted",topic="interactions"}}' in text
    for name in ("home", "kafka_port", "redis_port", "flink_port", "http_port"):
        monkeypatch.setenv(setting_name(name), str(getattr(settings, name)))
    monkeypatch.setenv("COLUMNS", "200")
    main(["status"])
    assert "server: 2 of 2 processes serve (pid " in capsys.readouterr().out


@pytest.mark.integration
def test_a_process_that_is_killed_is_replaced_and_no_request_fails_afterwards(several: Stack) -> None:
    settings = several.settings
    before = until(lambda: serving(settings))
    victim = before[1].pid
    assert victim
    psutil.Process(victim).kill()
    until(lambda: not psutil.pid_exists(victim))
    statuses = []

    def ask() -> list[ProcessState]:
        """A connection of its own for each request, while one process serves and when both do again."""
        statuses.append(httpx.get(f"{settings.http_url}/v1/users/u1/feed", trust_env=False, timeout=30).status_code)
        return serving(settings)

    after = until(ask, 120)
    assert (after[0].pid, after[0].restarts) == (before[0].pid, before[0].restarts)
    assert after[1].pid != victim
    assert (after[1].restarts, after[1].last_exit) == (before[1].restarts + 1, "ended by SIGKILL")
    for _ in range(30):
        ask()
    with connections(settings.http_url) as both:  # the new one answers, too
        statuses += [client.get("/v1/users/u1/feed").status_code for client, _ in both]
    assert set(statuses) == {200}


@pytest.mark.integration
def test_processes_end_with_a_supervisor_that_is_killed_and_a_stop_leaves_nothing(several: Stack) -> None:
    settings = several.settings
    leader = next(status.pid for status in several.status() if status.name == "server")
    children = psutil.Process(leader).children()
    assert len(children) == 2
    folder = Path(children[0].cmdline()[-2])
    assert folder.exists()
    psutil.Process(leader).kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    assert not folder.exists()
    several.up(["server"])  # and clears up after it
    leader = next(status.pid for status in several.status() if status.name == "server")
    children = psutil.Process(leader).children()
    folder = Path(children[0].cmdline()[-2])
    assert folder.exists()
    several.down(["server"])
    assert not [child.pid for child in children if child.is_running()]
    assert not folder.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{settings.http_url}/livez", trust_env=False)
