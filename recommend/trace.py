"""Records of every stage of one answer, for `explain=full` and for metrics.

The only module of the core that measures time: how long a stage takes changes no answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from recommend.query import Query
from recommend.rules.ruling import RuleEffect
from recommend.stage import Stage, StageError

log = logging.getLogger(__name__)

STEPS = ("encode", "retrieve", "filter", "rank", "rerank", "explain")
T = TypeVar("T")


class StageTrace(Struct, omit_defaults=True):
    """One run of one stage."""

    step: str
    """one of STEPS"""
    stage: str
    ms: float
    candidates_in: int = 0
    candidates_out: int = 0
    removed: int = 0
    """by a filter, of the candidates that were left by those before it"""
    moved: int = 0
    """by a re-ranker: items of the answer that stand elsewhere than they did; by rotation: candidates that rest"""
    failed: str | None = None
    """why, in words for callers"""
    fell_back: str | None = None
    """what happened instead"""
    over_budget: bool = False
    explored: dict[str, float] = {}
    """by the stage `exploration`: the items that it drew, and their propensities"""
    rules: list[RuleEffect] = []
    """by the stage `rules`: what each rule did to which items; those that failed, whatever `explain` is"""
    rotated: list[str] = []
    """by rotation: ids of the first 50 candidates that rest, with explain=full"""


class Trace:
    """The runs of one answer, in their order."""

    def __init__(self) -> None:
        self.stages: list[StageTrace] = []
        self.timings_ms: dict[str, float] = {}
        """by step"""
        self.current = ""
        """the step that is running, or that failed"""
        self.relaxed = 0
        """how many of the surface's filters, counted from the last, were given up so that anything was left"""
        self._degraded: set[str] = set()

    @property
    def degraded(self) -> list[str]:
        """Steps of which a stage failed."""
        return [step for step in STEPS if step in self._degraded]

    def run(
        self, step: str, stage: Stage, query: Query, work: Callable[[], T], candidates: int = 0
    ) -> tuple[T | None, StageTrace | None]:
        """Runs `work`: its result, None where it fails, and its record, None where the stage does not apply."""
        started = time.perf_counter()
        result, failed = None, None
        try:
            if not stage.applies(query):
                return None, None
            result = work()
        except StageError as error:
            failed = str(error)
        except Exception as error:
            # The text may hold anything, so that the log alone has it.
            failed = f"{type(error).__name__}; the server's log has the details"
            log.warning("%s %s failed: %s", step, stage.name, error, exc_info=True)
        ms = (time.perf_counter() - started) * 1000
        record = StageTrace(step, stage.name, round(ms, 3), candidates, failed=failed, over_budget=ms > stage.budget_ms)
        self.stages.append(record)
        if failed is not None:
            self._degraded.add(step)
        return result, record

    def adjust(
        self, stage: Stage, query: Query, work: Callable[[], T], candidates: int
    ) -> tuple[T | None, StageTrace | None]:
        """Runs a stage that changes the scores of ranked candidates, as `run`; where it fails, they stay as they
        were."""
        result, record = self.run("rank", stage, query, work, candidates)
        if record:
            record.candidates_out = candidates
            if result is None:
                record.fell_back = "the scores as they were"
        return result, record

    def include(self, records: list[StageTrace]) -> None:
        """Adds the failures among records that are not shown otherwise."""
        for record in records:
            if record.failed is not None:
                self.stages.append(record)
                self._degraded.add(record.step)

    def aside(self) -> Trace:
        """A trace of stages whose runs are not shown one by one; `include` adds those of its runs that failed."""
        return Trace()

    def step(self, name: str) -> _Step:
        """A context that times the step that runs within."""
        self.current = name
        return _Step(name, self.timings_ms)

    def fail(self) -> None:
        """Records a failure of the step that is running, outside of any stage."""
        self._degraded.add(self.current)


class _Step:
    """Writes down how long a step took that ended well. A generator as a context takes six times as long."""

    __slots__ = ("_name", "_started", "_timings")

    def __init__(self, name: str, timings_ms: dict[str, float]) -> None:
        self._name, self._timings = name, timings_ms

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._timings[self._name] = round((time.perf_counter() - self._started) * 1000, 3)
