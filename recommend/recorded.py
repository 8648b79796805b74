"""What an answer was computed from, and the answer computed from it again.

The steps that search the whole catalogue, `encode` and `retrieve`, are recorded by their results. All that follows
(filters, rules, rankers, re-rankers, reasons) runs again, over a slice of the columns: the rows that were found, and
those that stages look up beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

from feature_repo.columns import ItemColumns, Rows
from recommend.favourites import Favourites
from recommend.pipeline import Answer, Pipeline
from recommend.popular import Popular
from recommend.query import Query
from recommend.rules.ruling import REMOVED, RuleEffect
from recommend.stage import Stage, StageError
from recommend.steps import CATALOGUE_FILTER
from recommend.surface import Surface
from recommend.trace import StageTrace, Trace

T = TypeVar("T")
GIVEN = frozenset({"encode", "retrieve"})
"""steps whose results are recorded"""


class StageOutcome(Struct, frozen=True):
    """The result of one run of a stage of GIVEN."""

    stage: str
    applied: bool
    result: Any = None
    """rows, as positions in the slice, or a vector; None where it failed"""
    failed: str | None = None


class StageFailure(Struct, frozen=True):
    """A run of a stage of another step that failed: what made it fail then may not do so again."""

    step: str
    stage: str
    run: int
    """counted from 0, of the runs of this stage in the step; 0 in an aside, of which each run fails from then on"""
    failed: str
    aside: int = 0
    """counted from 1, where it failed in an aside of the trace: that may go through the candidates in other portions"""


@dataclass(frozen=True)
class StageRun:
    """The same as it happened, over the live columns."""

    step: str
    """one of GIVEN"""
    stage: Stage
    applied: bool
    result: Any
    failed: str | None


@dataclass(frozen=True)
class Found:
    """What one list of an answer was made from: its surface and query, the results of the steps of GIVEN, and the
    candidates that were left of them, `kept`; and the stages that have failed until it was made."""

    surface: Surface
    query: Query
    runs: Sequence[StageRun]
    kept: Rows
    failures: list[StageFailure]


def found(surface: Surface, query: Query, trace: RecordingTrace, kept: Rows) -> Found:
    """The same, with no more rows of fallbacks than were needed."""
    return Found(surface, query, trimmed(surface, trace.runs, kept, trace.failures), kept, trace.failures)


class RecordingTrace(Trace):
    """Keeps the results of the steps of GIVEN, and the failures of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[StageRun] = []
        self.failures: list[StageFailure] = []
        self._times = Counter[tuple[str, str]]()
        self._aside, self._asides = 0, count(1)

    def aside(self) -> Trace:
        found = RecordingTrace()
        found.runs, found.failures, found._asides = self.runs, self.failures, self._asides
        found._aside = next(self._asides)
        return found

    def run(
        self, step: str, stage: Stage, query: Query, work: Callable[[], T], candidates: int = 0
    ) -> tuple[T | None, StageTrace | None]:
        result, record = super().run(step, stage, query, work, candidates)
        failed = record.failed if record else None
        if step in GIVEN:
            self.runs.append(StageRun(step, stage, record is not None, result, failed))
            return result, record
        if failed is not None:
            run = 0 if self._aside else self._times[step, stage.name]
            self.failures.append(StageFailure(step, stage.name, run, failed, self._aside))
        self._times[step, stage.name] += 1
        return result, record


class GivenTrace(Trace):
    """Takes the results of the steps of GIVEN and the failures of the others from a record, and runs what did not fail.
    `differs` says where a stage was asked for that the record does not have."""

    def __init__(self, outcomes: Sequence[StageOutcome], failures: Sequence[StageFailure] = ()) -> None:
        super().__init__()
        self._outcomes = list(reversed(outcomes))
        self._failures = {(each.aside, each.step, each.stage, each.run): each.failed for each in failures}
        self._times = Counter[tuple[str, str]]()
        self._aside, self._asides = 0, count(1)
        self.differs = ""

    def aside(self) -> Trace:
        found = GivenTrace(())
        found._failures, found._asides = self._failures, self._asides
        found._aside = next(self._asides)
        return found

    def run(
        self, step: str, stage: Stage, query: Query, work: Callable[[], T], candidates: int = 0
    ) -> tuple[T | None, StageTrace | None]:
        if step not in GIVEN:
            run = 0 if self._aside else self._times[step, stage.name]
            failed = self._failures.get((self._aside, step, stage.name, run))
            self._times[step, stage.name] += 1
            return super().run(step, stage, query, work if failed is None else _failing(failed), candidates)
        outcome = self._outcomes.pop() if self._outcomes else None
        if outcome is None or outcome.stage != stage.name:
            self.differs = self.differs or f"{step}: {stage.name} is run, and was not"
            return None, None
        if not outcome.applied:
            return None, None

        given = _failing(outcome.failed) if outcome.failed is not None else lambda: outcome.result
        return super().run(step, _Applies(stage.name), query, given, candidates)


def _failing(why: str) -> Callable[[], Any]:
    def work() -> Any:
        raise StageError(why)

    return work


class _Applies(Stage):
    """A stage of any name that applies."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", name)


class HeldPopular(Popular):
    """Lists of popular items over a slice, with the shares of contexts in the whole catalogue as they were."""

    def __init__(self, columns: ItemColumns, shares: npt.NDArray[np.float64]) -> None:
        super().__init__(columns)
        self._held = shares

    def shares(self, at: int) -> npt.NDArray[np.float64]:
        return self._held


def trimmed(
    surface: Surface, runs: Sequence[StageRun], kept: Rows, failures: Sequence[StageFailure] = ()
) -> list[StageRun]:
    """The runs, with those rows alone of the fallback's that have become candidates, `kept`: the filters have removed
    the others, or they were not needed. Where none has, and a stage failed on portions of such rows, the last one is
    left, so that there is a portion for it to fail on again: of an earlier portion the stage may have removed rows
    before it failed. Where the fallback failed as well, every allowed row of the record is gone through again, and one
    that the stage alone had removed before it failed is listed."""
    fallbacks = []
    fallback = surface.fallback
    while fallback is not None:
        fallbacks.append(fallback)
        fallback = fallback.fallback
    least = int(any(each.aside for each in failures))

    def trim(rows: Rows) -> Rows:
        found = rows[np.isin(rows, kept)]
        return found if len(found) else rows[len(rows) - least :]

    return [
        StageRun(run.step, run.stage, run.applied, trim(run.result), run.failed)
        if run.result is not None and any(run.stage is each for each in fallbacks)
        else run
        for run in runs
    ]


def outcomes(runs: Sequence[StageRun], rows: Rows) -> list[StageOutcome]:
    """The runs by positions in a slice of `rows`."""
    return [
        StageOutcome(
            run.stage.name, run.applied,
            np.searchsorted(rows, run.result) if run.step == "retrieve" and run.result is not None
            else run.result,
            run.failed,
        )
        for run in runs
    ]  # fmt: skip


class HeldFavourites(Struct, frozen=True):
    """What other people liked, of the candidates alone, as positions in the slice."""

    rows: Any
    scores: Any
    counts: Any

    def favourites(self) -> Favourites:
        return Favourites(self.rows, self.scores, self.counts)


def held_favourites(liked: Favourites, kept: Rows, rows: Rows) -> HeldFavourites:
    """Of the favourites those among the candidates `kept`, in a slice of `rows`. Where none is, one that is no item:
    whether there are any decides whether stages run."""
    inside = np.isin(liked.rows, kept)
    if len(liked.rows) and not inside.any():
        return HeldFavourites(np.array([-1]), np.zeros(1, np.float32), np.zeros(1, np.int64))
    return HeldFavourites(np.searchsorted(rows, liked.rows[inside]), liked.scores[inside], liked.counts[inside])


def recommend(pipeline: Pipeline, surface: Surface, query: Query, trace: GivenTrace) -> tuple[Answer, str]:
    """The answer, and "" or what was asked for that the record does not have."""
    answer = pipeline.finish(pipeline.begin(surface, query, trace))
    return answer, trace.differs


def measured(made: Sequence[StageTrace], recorded: Sequence[StageTrace]) -> list[StageTrace]:
    """The stages as they were made again, with what was measured then: milliseconds, the numbers of items in the whole
    catalogue or in the part of it that a stage failed on, which a slice does not have, and what rules removed, since
    the slice lacks what a fallback found and the filters removed."""
    if [(each.step, each.stage) for each in made] != [(each.step, each.stage) for each in recorded]:
        return list(made)
    found = []
    for now, then in zip(made, recorded, strict=True):
        changes: dict[str, Any] = {"ms": then.ms, "over_budget": then.over_budget}
        if then.step in GIVEN or then.stage == CATALOGUE_FILTER.name or then.failed is not None:
            changes |= {name: getattr(then, name) for name in ("candidates_in", "candidates_out", "removed")}
        if then.rules:
            changes["rules"] = _with_removed(now.rules, then.rules)
        found.append(structs.replace(now, **changes))
    return found


def _with_removed(made: Sequence[RuleEffect], recorded: Sequence[RuleEffect]) -> list[RuleEffect]:
    """The effects of rules as they were made again, but for those that removed items."""
    again = {(each.rule, each.effect): each for each in made if each.effect != REMOVED}
    found = [
        each if each.effect == REMOVED else again.pop((each.rule, each.effect))
        for each in recorded
        if each.effect == REMOVED or (each.rule, each.effect) in again
    ]
    return [*found, *again.values()]


def held_pairs(pairs: Mapping[str, Mapping[str, Any]]) -> Callable[[str, Sequence[str]], Mapping[str, Any]]:
    """A person's rows in views of pairs, as they were read."""
    return lambda view, names: {
        name: row for name in names if (row := pairs.get(view, {}).get(name)) is not None
    }  # fmt: skip
