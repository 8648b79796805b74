"""Starts and ends background processes, with a record on disk for each; no other process is ever signalled.

The system reuses the pid of a process that has ended. So a record has the start time too, and every process is started
with a token in its environment, which its children (the JVM of a PyFlink client) inherit: they are found by it even
after the process itself has died.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

TOKEN = "FRESHET_PROCESS"
# A request's few hundred rows are no work to share: two threads that spin for one another made a product of
# (500, 64) and (64, 20) take 13 ms instead of 0.14.
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
# psutil derives the start time from the boot time in whole clock ticks, which may differ by one between two readings.
_SAME_START = 0.05
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    name: str
    pid: int
    created: float
    token: str

    def save(self, run: Path) -> None:
        path = _path(run, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".tmp")
        aside.write_text(json.dumps(asdict(self)))
        aside.replace(path)

    def leader(self) -> psutil.Process | None:
        """The recorded process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_START
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def members(self) -> list[psutil.Process]:
        """All its processes that still run: the leader and those with its token."""
        leader = self.leader()
        found = [leader] if leader else []
        others = (process for process in psutil.process_iter() if process.pid != self.pid)
        return found + [process for process in others if _token(process) == self.token]


def load(run: Path, name: str) -> ProcessRecord | None:
    try:
        return ProcessRecord(**json.loads(_path(run, name).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # Half a record (a full disk, say) names no process that we could safely signal.
        _path(run, name).unlink(missing_ok=True)
        return None


def forget(run: Path, name: str) -> None:
    _path(run, name).unlink(missing_ok=True)


def spawn(name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, run: Path) -> ProcessRecord:
    """Starts a program in a session of its own, its output appended to `log`, and record it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(argv),
            env={**env, TOKEN: token},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(child)  # kept, so that it is reaped when it ends while we still run
    record = ProcessRecord(name, child.pid, psutil.Process(child.pid).create_time(), token)
    record.save(run)
    return record


def end(record: ProcessRecord, grace: float, *, hard: bool = False) -> bool:
    """Ends every process of a record: SIGTERM, then SIGKILL after `grace` seconds. False if it took a SIGKILL."""
    members = record.members()
    polite = True
    if not hard:
        leader = record.leader()
        # The leader first: a JVM that outlives its PyFlink client by a moment is not an error worth a signal.
        for process in [leader] if leader else members:
            _signal(process, signal.SIGTERM)
        _, members = psutil.wait_procs(members, timeout=grace)
        polite = not members
    for process in {*members, *record.members()}:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(members, timeout=10)
    reap()
    return polite


def reap() -> None:
    """Collects the exit status of children that have ended, so that none stays a zombie."""
    _children[:] = [child for child in _children if child.poll() is None]


def tail(log: Path, lines: int = 15) -> list[str]:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64 * 1024))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def base_env() -> dict[str, str]:
    """The environment of a child: this process's, with the project importable and without settings of another
    Python."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", TOKEN)}
    project = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [project, env.get("PYTHONPATH", "")]))
    env["PYTHONUNBUFFERED"] = "1"
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    return env


def _path(run: Path, name: str) -> Path:
    return run / f"{name}.json"


def _token(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(TOKEN, ""))
    except (psutil.Error, OSError):
        return ""


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil checks the start time again, so a recycled pid is safe
