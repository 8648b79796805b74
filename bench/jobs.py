"""A Flink job under measurement: its counters, the processor time of its threads, and the busy time of a task."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from bench.errors import Unsound
from freshet.local import processes
from freshet.settings import Settings

START_S = 120.0
NANOSECOND = 1e-9


class Usage(NamedTuple):
    """Processor seconds of a process tree: all of it, and by name of thread."""

    threads: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.threads.values())

    def since(self, first: Usage) -> Usage:
        """The usage since `first`."""
        return Usage({name: used - first.threads.get(name, 0.0) for name, used in self.threads.items()})


class MeasuredJob:
    """The job that runs in a stack's Flink component; `operator` is the name of its metric group ("user")."""

    def __init__(self, settings: Settings, operator: str, counters: Sequence[str]) -> None:
        """Raises Unsound where the job does not register its counters in time."""
        record = processes.load(settings.run, "flink")
        if record is None:
            raise Unsound("Flink is not running")
        self._client = httpx.Client(base_url=settings.flink_url, trust_env=False, timeout=10)
        self._tree = [psutil.Process(record.pid), *psutil.Process(record.pid).children(recursive=True)]
        self._counters = counters
        try:
            self._job, self._vertex, self._names = self._find(f"freshet.{operator}.", counters)
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        self._client.close()

    def counts(self) -> dict[str, int]:
        """The operator's counters. Flink refreshes them once a second."""
        path = f"/jobs/{self._job}/vertices/{self._vertex}/metrics"
        found = self._get(path, get=",".join(self._names))
        values = {metric["id"].rsplit(".", 1)[-1]: int(float(metric["value"])) for metric in found}
        return {name: values.get(name, 0) for name in self._counters}

    def busy_s(self) -> float:
        """Wall seconds in which the operator's task was neither idle nor blocked by a later one (Flink's accumulated
        busy time)."""
        for vertex in self._get(f"/jobs/{self._job}")["vertices"]:
            if vertex["id"] == self._vertex:
                return float(vertex["metrics"]["accumulated-busy-time"]) / 1000
        raise Unsound("Flink does not list the operator's task any more")

    def usage(self) -> Usage:
        """Processor time used until now."""
        threads: defaultdict[str, float] = defaultdict(float)
        for process in self._tree:
            for thread in _threads(process):
                with suppress(psutil.Error, OSError):  # it has ended in the meantime
                    threads[psutil.Process(thread).name().strip(" -")] += thread_s(process.pid, thread)
        return Usage(dict(threads))

    def _find(self, prefix: str, counters: Sequence[str]) -> tuple[str, str, list[str]]:
        deadline = time.monotonic() + START_S
        wanted = tuple(prefix + counter for counter in counters)
        while time.monotonic() < deadline:
            for job in self._get("/jobs")["jobs"]:
                for vertex in self._get(f"/jobs/{job['id']}")["vertices"]:
                    found = self._get(f"/jobs/{job['id']}/vertices/{vertex['id']}/metrics")
                    names = [metric["id"] for metric in found if metric["id"].endswith(wanted)]
                    if len(names) == len(wanted):
                        return job["id"], vertex["id"], names
            time.sleep(0.1)
        raise Unsound(f"Flink shows no counters {', '.join(wanted)} within {START_S:.0f} s")

    def _get(self, path: str, **parameters: str) -> Any:
        return self._client.get(path, params=parameters).raise_for_status().json()


@contextmanager
def running(settings: Settings, operator: str, counters: Sequence[str]) -> Iterator[MeasuredJob]:
    """The job that runs now; its HTTP client is closed at the end."""
    job = MeasuredJob(settings, operator, counters)
    try:
        yield job
    finally:
        job.close()


def thread_s(pid: int, thread: int) -> float:
    """Processor seconds of a thread: from schedstat in nanoseconds, where the kernel has it, else in clock ticks."""
    try:
        return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) * NANOSECOND
    except (OSError, ValueError, IndexError):
        times = psutil.Process(thread).cpu_times()
        return float(times.user + times.system)


def _threads(process: psutil.Process) -> list[int]:
    try:
        return [thread.id for thread in process.threads()]
    except psutil.Error:
        return []
