"""Starts several server processes on one port, restarts those that end, and stops all together."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serving.siblings import SERVING, ProcessState, write_states
from serving.sockets import check_free

log = logging.getLogger(__name__)

POLL_S = 0.1
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
STEADY_S = 60.0
"""a process that has served for so long is started again after the shortest pause"""
STOP_S = 12.0
"""how long processes have to end after SIGTERM: requests in work 5 s, then threads and the queue of impressions"""
SILENT_S = 60.0
"""a process whose event loop shows no sign of life for so long, after the first one, is killed"""

Command = Callable[[int, int], Sequence[str]]
"""from a process's number and the descriptor of its channel"""


@dataclass
class _Member:
    number: int
    process: subprocess.Popen[bytes] | None = None
    channel: socket.socket | None = None
    serving_since: float | None = None
    last_sign: float | None = None
    """when it last showed a sign of life; None before the first"""
    next_start: float = 0.0
    failures: int = 0
    """ends in a row, each before it had served for STEADY_S"""
    restarts: int = 0
    last_exit: str = ""

    @property
    def state(self) -> ProcessState:
        running = self.process is not None
        name = "ended" if not running else "starting" if self.serving_since is None else "serving"
        return ProcessState(
            self.number, self.process.pid if self.process else None, name, self.restarts, self.last_exit
        )


@dataclass
class Supervisor:
    """Keeps `count` processes running until `stop`.

    A process that ends, or whose event loop stands still for `silent_s`, is started again, after a pause that doubles
    from `first_retry_s` while it keeps ending early. Where one ends before any has ever served, the cause lies in the
    settings, and all are stopped.
    """

    command: Command
    count: int
    folder: Path
    first_retry_s: float = FIRST_RETRY_S
    last_retry_s: float = LAST_RETRY_S
    stop_s: float = STOP_S
    silent_s: float = SILENT_S
    _stopping: bool = False
    _written: list[ProcessState] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._members = [_Member(number) for number in range(1, self.count + 1)]
        self._served = False
        self._failed = False

    def stop(self, *_: object) -> None:
        """Ends `run`; may be called from another thread or a signal handler."""
        self._stopping = True  # not an Event: its lock may be held by `run`, in the very thread of the handler

    def run(self) -> int:
        """Blocks until all have stopped. Returns 1 where they could not be started, else 0."""
        looked = time.monotonic()
        try:
            while not self._stopping:
                now = time.monotonic()
                if now - looked > self.silent_s / 4:  # this process did not run either: the machine stood still
                    for member in self._members:
                        member.last_sign = None if member.last_sign is None else now
                looked = now
                for member in self._members:
                    self._look_at(member, now)
                self._write()
                time.sleep(POLL_S)
        finally:
            self._stop_all()
        return int(self._failed)

    def _look_at(self, member: _Member, now: float) -> None:
        if self._failed:
            return
        if member.process is None:
            if now >= member.next_start:
                self._start(member, now)
            return
        self._read(member, now)
        if member.process.poll() is not None:
            self._ended(member, now)
        elif member.last_sign is not None and now - member.last_sign > self.silent_s:
            log.error("process %d shows no sign of life for %.0f s and is killed", member.number, self.silent_s)
            member.process.kill()

    def _start(self, member: _Member, now: float) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                member.process = subprocess.Popen(
                    self.command(member.number, theirs.fileno()), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
                )
            except OSError as error:  # no memory, no descriptors
                ours.close()
                self._later(member, now, f"could not be started: {error}")
                return
        member.channel = ours
        member.serving_since = member.last_sign = None
        log.info("process %d is started, pid %d", member.number, member.process.pid)

    def _read(self, member: _Member, now: float) -> None:
        assert member.channel
        try:
            said = member.channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            return  # it has ended
        if said:
            member.last_sign = now
        if SERVING in said and member.serving_since is None:
            member.serving_since = now
            self._served = True
            log.info("process %d serves, pid %d", member.number, member.process.pid if member.process else 0)

    def _ended(self, member: _Member, now: float) -> None:
        assert member.process
        assert member.channel
        code = member.process.returncode
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if member.serving_since is not None and now - member.serving_since >= STEADY_S:
            member.failures = 0
        member.channel.close()
        member.process = member.channel = member.serving_since = None
        self._later(member, now, how)

    def _later(self, member: _Member, now: float, how: str) -> None:
        member.last_exit = how
        if not self._served:
            log.error("process %d %s before any served: the server cannot start", member.number, how)
            self._failed = True
            self._stopping = True
            return
        pause = min(self.last_retry_s, self.first_retry_s * 2 ** min(member.failures, 20))
        member.failures += 1
        member.restarts += 1
        member.next_start = now + pause
        log.error("process %d %s; it is started again in %.1f s", member.number, how, pause)

    def _write(self) -> None:
        states = [member.state for member in self._members]
        if states != self._written:
            try:
                write_states(self.folder, states)
            except OSError as error:  # a full disk: the processes go on, with states of before
                log.warning("the states of the processes are not written: %s", error)
                return
            self._written = states

    def _stop_all(self) -> None:
        running = [member.process for member in self._members if member.process]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self.stop_s
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("pid %d did not stop within %.0f s and is killed", process.pid, self.stop_s)
                process.kill()
                process.wait()
        for member in self._members:
            if member.channel:
                member.channel.close()


def run(host: str, port: int, count: int) -> int:
    """Runs `count` server processes on a port until SIGTERM or SIGINT. Returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if not hasattr(socket, "SO_REUSEPORT"):
        log.error("this system has no SO_REUSEPORT: leave FRESHET_SERVER_PROCESSES at 1")
        return 1
    try:
        check_free(host, port)
    except OSError as error:
        log.error("cannot listen on %s, port %d (FRESHET_HTTP_PORT): %s", host, port, error.strerror or error)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="freshet-"))
    try:
        supervisor = Supervisor(lambda number, fd: _command(number, folder, fd), count, folder)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, supervisor.stop)
        return supervisor.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(number: int, folder: Path, fd: int) -> list[str]:
    return [sys.executable, "-m", "serving.process", str(number), os.fspath(folder), str(fd)]
