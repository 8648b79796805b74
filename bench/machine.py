"""The condition of the machine during a measurement, and repetition of disturbed rounds.

A shared machine is not equally fast all the time. Three figures describe it during a round:

    loop_ms  processor milliseconds of a fixed Python loop: before, during (median) and after the round
    steal    share of the processors that the hypervisor gave to other virtual machines (steal in /proc/stat)
    others   share of the processors that processes outside the benchmark used

A round beyond one of the bounds below is disturbed, and measured again, up to a number of attempts. Where each of them
was disturbed, the least disturbed one counts and the report says so.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import psutil

from bench.stacks import Say

Result = TypeVar("Result")

STEAL_AT_MOST = 0.05
OTHERS_AT_MOST = 0.10
SLOWER_AT_MOST = 1.3
"""loop_ms after the round divided by loop_ms before it, or the inverse: the machine changed its speed"""
BUSY_SLOWER_AT_MOST = 1.75
"""loop_ms during the round divided by the lower one of before and after. The benchmark's own load raises it where two
processors share a core or a cache, so the bound is wider."""
BOUNDS = {
    "steal": STEAL_AT_MOST,
    "others": OTHERS_AT_MOST,
    "loop_after_to_before": SLOWER_AT_MOST,
    "loop_during_to_idle": BUSY_SLOWER_AT_MOST,
}
ATTEMPTS = 3
LOOPS = 15
SAMPLE_S = 0.5
SCAN_EVERY = 4
"""samples between two scans of the process table"""


def loop_ms() -> float:
    """Processor milliseconds of a fixed loop in this thread: time in which the thread is not scheduled is left out."""
    started = time.thread_time()
    total = 0
    for number in range(20_000):
        total += number * number
    return (time.thread_time() - started) * 1000


@dataclass(frozen=True)
class Conditions:
    """The machine during one round. Shares are of all processors, 0 to 1."""

    loop_before_ms: float
    loop_during_ms: float
    loop_after_ms: float
    steal: float
    others: float
    seconds: float

    def excess(self) -> dict[str, float]:
        """Each figure divided by its bound, by the bound's name: above 1 the round is disturbed."""
        idle = min(self.loop_before_ms, self.loop_after_ms)
        drift = max(self.loop_before_ms, self.loop_after_ms) / idle
        found = {
            "steal": self.steal,
            "others": self.others,
            "loop_after_to_before": drift,
            "loop_during_to_idle": self.loop_during_ms / idle,
        }
        return {name: value / BOUNDS[name] for name, value in found.items()}

    @property
    def disturbed_by(self) -> list[str]:
        """Names of the bounds that were exceeded."""
        return [name for name, excess in self.excess().items() if excess > 1]


@dataclass(frozen=True)
class Round:
    """One round as the JSON line has it. `kept` is False where a later attempt replaced it."""

    name: str
    attempt: int
    conditions: Conditions
    kept: bool = True

    def document(self) -> dict[str, Any]:
        figures = {name: round(value, 3) for name, value in asdict(self.conditions).items()}
        disturbed = self.conditions.disturbed_by
        return {"name": self.name, "attempt": self.attempt, "kept": self.kept, **figures, "disturbed_by": disturbed}


@dataclass(frozen=True)
class Times:
    """Processor seconds since the machine started, of all processors together."""

    total: float
    busy: float
    steal: float

    @classmethod
    def now(cls) -> Times:
        found = psutil.cpu_times()
        # guest time is part of user time already
        fields = {name: value for name, value in found._asdict().items() if not name.startswith("guest")}
        total, steal = sum(fields.values()), fields.get("steal", 0.0)
        return cls(total, total - fields["idle"] - fields.get("iowait", 0.0) - steal, steal)


def shares(first: Times, last: Times, own_s: float) -> tuple[float, float]:
    """(steal, others) between two readings in which the benchmark's own processes used `own_s` processor seconds."""
    total = last.total - first.total
    if total <= 0:
        return 0.0, 0.0
    return (last.steal - first.steal) / total, max(0.0, last.busy - first.busy - own_s) / total


class OwnProcesses:
    """Processor time of this process and its descendants. A process that ended counts with what was seen of it last."""

    def __init__(self) -> None:
        self._root = psutil.Process()
        self._seen: dict[tuple[int, float], float] = {}

    def seconds(self) -> float:
        """User and system seconds of all processes seen so far."""
        for process in (self._root, *self._root.children(recursive=True)):
            try:
                times = process.cpu_times()
                self._seen[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue  # it has just ended
        return sum(self._seen.values())


class Sampler:
    """Observes the machine from `start` to `stop` in a thread of its own, at about half a percent of a processor."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="machine", daemon=True)
        self._loops: list[float] = []
        self._own = OwnProcesses()

    def start(self) -> None:
        self._before = _idle_loop_ms()
        self._began = time.monotonic()
        self._own_before, self._first = self._own.seconds(), Times.now()
        self._thread.start()

    def stop(self) -> Conditions:
        self._stop.set()
        self._thread.join()
        own_s, last = self._own.seconds() - self._own_before, Times.now()
        seconds = time.monotonic() - self._began
        steal, others = shares(self._first, last, own_s)
        after = _idle_loop_ms()
        during = statistics.median(self._loops) if self._loops else after
        return Conditions(self._before, during, after, steal, others, seconds)

    def _sample(self) -> None:
        number = 0
        while not self._stop.wait(SAMPLE_S):
            self._loops.append(loop_ms())
            number += 1
            if number % SCAN_EVERY == 0:
                self._own.seconds()


def _idle_loop_ms() -> float:
    return statistics.median(loop_ms() for _ in range(LOOPS))


class Rounds:
    """Measures rounds, repeats disturbed ones, and keeps the conditions of each for the report."""

    def __init__(self, say: Say, attempts: int = ATTEMPTS, sampler: Callable[[], Sampler] = Sampler) -> None:
        """A round is measured `attempts` times at most."""
        self._say = say
        self.attempts = max(1, attempts)
        self._sampler = sampler
        self.rounds: list[Round] = []

    def measure(self, name: str, work: Callable[[], Result]) -> Result:
        """The result of `work` in the first undisturbed attempt, or in the least disturbed one."""
        tried: list[tuple[Round, Result]] = []
        for attempt in range(1, self.attempts + 1):
            sampler = self._sampler()
            sampler.start()
            try:
                result = work()
            finally:
                conditions = sampler.stop()
            tried.append((Round(name, attempt, conditions), result))
            disturbed = conditions.disturbed_by
            if not disturbed:
                break
            then = "measured again" if attempt < self.attempts else "no attempt is left"
            self._say(f"{name}: disturbed by {', '.join(disturbed)}; {then}")
        best = min(range(len(tried)), key=lambda at: max(tried[at][0].conditions.excess().values()))
        if not tried[-1][0].conditions.disturbed_by:
            best = len(tried) - 1
        for at, (found, _) in enumerate(tried):
            self.rounds.append(found if at == best else Round(found.name, found.attempt, found.conditions, kept=False))
        return tried[best][1]

    def document(self) -> dict[str, Any]:
        """For the JSON line: medians over the rounds that count, how many were disturbed or repeated, each round."""
        kept = [found.conditions for found in self.rounds if found.kept]
        if not kept:
            return {}
        median = statistics.median
        return {
            "loop_ms": {
                "before": round(median(c.loop_before_ms for c in kept), 3),
                "during": round(median(c.loop_during_ms for c in kept), 3),
                "after": round(median(c.loop_after_ms for c in kept), 3),
            },
            "steal": round(max(c.steal for c in kept), 4),
            "others": round(max(c.others for c in kept), 4),
            "disturbed": sum(bool(c.disturbed_by) for c in kept),
            "repeated": sum(not found.kept for found in self.rounds),
            "attempts": self.attempts,
            "bounds": BOUNDS,
            "rounds": [found.document() for found in self.rounds],
        }
