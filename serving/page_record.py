"""The record of a page of rows, and the page made from it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from operators.hashes import Hashes
from recommend import page as pages
from recommend import recorded
from recommend.favourites import Likes
from recommend.page import BegunPage, Page
from recommend.page_rows import KINDS, RowPlan
from recommend.pictures import Pictures
from recommend.pipeline import Pipeline
from recommend.query import Query
from recommend.recorded import Found, GivenTrace, RecordingTrace, StageFailure, StageRun
from serving.answer_record import AnswerRecord, RecordedPage, RecordedRow, undrawn
from serving.bodies import Around
from serving.captured import NOBODY, Capture, Facts, facts_of


class UnknownRow(ValueError):
    """A kind of rows is not declared any more."""


class Taken(NamedTuple):
    """A page as it was answered."""

    begun: BegunPage
    page: Page
    chosen: list[Pictures]
    is_logged: bool
    """whether its pictures were drawn"""
    unplanned: list[str]
    """kinds of rows that could not be planned"""


def capture(
    around: Around,
    taken: Taken,
    found: Sequence[Found],
    shares: npt.NDArray[np.float64],
    rules: str,
    body: bytes | memoryview,
    people: Mapping[str, Likes],
) -> Capture:
    """The facts of a page; what was `found` is that of the rows that were considered, in their order. What rows were
    planned is a fact, too: it depends on the names of all categories."""
    begun, page = taken.begun, taken.page
    assert isinstance(begun.trace, RecordingTrace)
    query = begun.query
    pictured = [row.answer.candidates.rows for row, of in zip(page.rows, taken.chosen, strict=True) if any(of.images)]
    facts = facts_of(query, found, pictured)
    resting, failures = query.resting, begun.trace.failures
    traces = [row.answer.trace for row in page.rows] if query.explains_all else []
    size, chosen, is_logged, unplanned = (begun.rows, begun.per_row), taken.chosen, taken.is_logged, taken.unplanned
    considered = [
        _Considered(kind.name, plan, of.query.resting, of.runs, of.failures, of.query.__dict__.get("n_allowed"))
        for (kind, plan, _), of in zip(begun.begun, found, strict=True)
    ]

    def record() -> AnswerRecord:
        return AnswerRecord(
            around=around, rules=rules, shares=shares, resting=facts.among(resting), listed=None, outcomes=[],
            failures=[], trace=[],
            undrawn=undrawn(chosen), rest=b"", sha256="", **facts.fields(),
            page=RecordedPage(
                size=size, logged=is_logged, failed=unplanned, rows=[each.row(facts) for each in considered],
                failures=failures, traces=traces,
            ),
        )  # fmt: skip

    return Capture(around, record, body, people if query.others else NOBODY)


class _Considered(NamedTuple):
    """A row that was considered for a page."""

    kind: str
    plan: RowPlan
    resting: Hashes
    runs: Sequence[StageRun]
    failures: list[StageFailure]
    n_allowed: int | None

    def row(self, facts: Facts) -> RecordedRow:
        return RecordedRow(
            kind=self.kind, title=self.plan.title, anchor=facts.position(self.plan.anchor),
            about=_about(self.plan, facts.position), resting=facts.among(self.resting),
            outcomes=recorded.outcomes(self.runs, facts.rows), failures=self.failures, n_allowed=self.n_allowed,
        )  # fmt: skip


def again(pipeline: Pipeline, query: Query, record: RecordedPage) -> tuple[Page, str]:
    """The page for the query, and "" or what was asked for that the record does not have. Raises UnknownRow, and
    FilterError where the filter of a row cannot be read."""
    kinds = {kind.name: kind for kind in KINDS}
    page = BegunPage(query, *record.size, failed=set(record.failed), trace=GivenTrace([], record.failures))
    traces = []
    for row in record.rows:
        kind = kinds.get(row.kind)
        if kind is None:
            raise UnknownRow(f"rows of the kind {row.kind} are not made any more")
        about = dict(row.about)
        if (text := about.get("filter")) is not None:
            about["filter"] = pipeline.filters.compile(text)
        plan = RowPlan(row.title, row.anchor, about)
        of_row = pages.query_of(page, kind, plan)
        of_row.__dict__["resting"] = row.resting
        if row.n_allowed is not None:
            of_row.__dict__["n_allowed"] = row.n_allowed
        trace = GivenTrace(row.outcomes, row.failures)
        traces.append(trace)
        page.begun.append((kind, plan, pipeline.begin(kind.surface, of_row, trace)))
    return pages.finish(pipeline, page), next((trace.differs for trace in traces if trace.differs), "")


def _about(plan: RowPlan, position: Any) -> dict[str, Any]:
    found = dict(plan.about)
    if "item" in found:
        found["item"] = position(found["item"])
    if found.get("filter") is not None:
        found["filter"] = found["filter"].text
    return found
