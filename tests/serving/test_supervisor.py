"""Processes that a supervisor starts, replaces and stops, with small programs in place of servers."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from follow import loop
from freshet.local.ports import free_ports
from serving import impressions, process, producer, supervisor
from serving.siblings import STATES
from serving.supervisor import Supervisor
from tests.live import until

SERVES = """
import socket, sys, time
channel = socket.socket(fileno=int(sys.argv[2]))
channel.send(b"s")
while channel.send(b"."):
    time.sleep(0.05)
"""
STANDS_STILL = """
import signal, socket, sys
channel = socket.socket(fileno=int(sys.argv[2]))
channel.send(b".s")
signal.pause()
"""
STANDS_STILL_EARLY = STANDS_STILL.replace('b".s"', 'b"."')
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVES
SUPERVISES = """
import os, signal, sys
from pathlib import Path
from serving import supervisor
program, folder = sys.argv[1:]
command = lambda number, fd: [sys.executable, "-c", program, str(number), str(fd)]
made = supervisor.Supervisor(command, 1, Path(folder))
signal.signal(signal.SIGTERM, made.stop)
raise SystemExit(made.run())
"""
INTERRUPTED = """
import signal
from pathlib import Path
from serving import supervisor
supervisor.POLL_S = 0
for n in range(3000):
    made = supervisor.Supervisor(lambda *_: (), 0, Path())
    signal.signal(signal.SIGALRM, made.stop)
    signal.setitimer(signal.ITIMER_REAL, 0.00005 + n % 100 * 0.000002)
    assert made.run() == 0
"""
"""a supervisor of no processes that is stopped by a signal at thousands of different moments of its loop"""
FAILS = "raise SystemExit(3)"


class Running:
    """A supervisor in a thread, and what it says of its processes."""

    def __init__(self, made: Supervisor) -> None:
        self.made = made
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.code = self.made.run()

    def states(self) -> list[dict[str, Any]]:
        path = self.made.folder / STATES
        return json.loads(path.read_text()) if path.exists() else []

    def serving(self) -> list[int]:
        """Pids of all processes, once all of them serve."""
        found = self.states()
        return [s["pid"] for s in found] if found and {s["state"] for s in found} == {"serving"} else []

    def end(self) -> None:
        self.made.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


@contextmanager
def supervised(folder: Path, programs: dict[int, str], **others: Any) -> Iterator[Running]:
    """Program by number."""

    def command(number: int, fd: int) -> list[str]:
        return [sys.executable, "-c", programs[number], str(number), str(fd)]

    running = Running(Supervisor(command, len(programs), folder, **{"first_retry_s": 0.05, **others}))
    try:
        yield running
    finally:
        running.end()


def test_processes_that_serve_are_stopped_together(tmp_path: Path) -> None:
    with supervised(tmp_path, {1: SERVES, 2: SERVES}) as running:
        pids = until(running.serving)
        assert [s["number"] for s in running.states()] == [1, 2]
    assert running.code == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_process_that_is_killed_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    with supervised(tmp_path, {1: SERVES, 2: SERVES}) as running:
        first, second = until(running.serving)
        os.kill(second, signal.SIGKILL)
        until(lambda: second not in (found := running.serving()) and found)
        assert running.states()[0] == {
            "number": 1, "pid": first, "state": "serving", "restarts": 0, "last_exit": "",
        }  # fmt: skip
        replaced = running.states()[1]
        assert (replaced["restarts"], replaced["last_exit"]) == (1, "ended by SIGKILL")


def test_pauses_double_while_a_process_keeps_ending_and_have_a_longest(tmp_path: Path) -> None:
    programs = {1: SERVES, 2: SERVES}
    with supervised(tmp_path, programs, first_retry_s=0.1, last_retry_s=0.4) as running:
        pids = until(running.serving)
        programs[2] = FAILS
        starts: list[float] = []
        real = running.made.command

        def counted(number: int, fd: int) -> Any:
            starts.append(time.monotonic())
            return real(number, fd)

        running.made.command = counted
        os.kill(pids[1], signal.SIGKILL)
        until(lambda: len(starts) >= 5)
        assert running.states()[1]["last_exit"] == "ended with status 3"
        programs[2] = SERVES
        until(running.serving)
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert [pause >= least for pause, least in zip(pauses, (0.2, 0.4, 0.4, 0.4), strict=False)] == [True] * 4


def test_a_process_that_ends_before_any_has_served_stops_all(tmp_path: Path) -> None:
    with supervised(tmp_path, {1: "import time; time.sleep(60)", 2: FAILS}) as running:
        until(lambda: running.code is not None)
        assert running.code == 1


def test_a_process_that_stands_still_is_killed_and_replaced(tmp_path: Path) -> None:
    programs = {1: SERVES, 2: STANDS_STILL}
    with supervised(tmp_path, programs, silent_s=1.0) as running:
        still = until(running.serving)[1]
        programs[2] = SERVES
        until(lambda: still not in (found := running.serving()) and found)
        assert [s["restarts"] for s in running.states()] == [0, 1]


def test_a_process_that_stands_still_while_it_starts_is_killed_and_replaced(tmp_path: Path) -> None:
    programs = {1: SERVES, 2: SERVES}
    with supervised(tmp_path, programs, silent_s=1.0) as running:
        second = until(running.serving)[1]
        programs[2] = STANDS_STILL_EARLY
        os.kill(second, signal.SIGKILL)
        until(lambda: running.states()[1]["state"] == "starting")
        programs[2] = SERVES
        until(running.serving)
        assert [s["restarts"] for s in running.states()] == [0, 2]


def test_processes_have_ended_before_they_are_killed() -> None:
    closing = max(loop.STOP_S, impressions.STOP_S + producer.CLOSE_S)
    assert process.GRACE_S + closing < supervisor.STOP_S


def test_a_process_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, {1: IGNORES_SIGTERM, 2: SERVES}, stop_s=0.5) as running:
        pids = until(running.serving)
    assert running.code == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_supervisor_that_gets_sigterm_stops_its_processes(tmp_path: Path) -> None:
    started = subprocess.Popen([sys.executable, "-c", SUPERVISES, SERVES, str(tmp_path)])
    try:
        until((tmp_path / STATES).exists)
        served = until(
            lambda: [s["pid"] for s in json.loads((tmp_path / STATES).read_text()) if s["state"] == "serving"]
        )
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) == 0
        assert not psutil.pid_exists(served[0])
    finally:
        started.kill()
        started.wait()


def test_a_signal_at_any_moment_stops_it() -> None:
    subprocess.run([sys.executable, "-c", INTERRUPTED], check=True, timeout=60)


def test_a_port_that_somebody_has_is_named_with_its_setting(caplog: pytest.LogCaptureFixture) -> None:
    port = free_ports()["http_port"]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another group of processes would
        other.bind(("127.0.0.1", port))
        other.listen()
        assert supervisor.run("127.0.0.1", port, 2) == 1
    assert "FRESHET_HTTP_PORT" in caplog.text
