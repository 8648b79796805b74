"""One answer while it is recorded: what is noted before, between and after its stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recommend import recorded
from recommend.favourites import Likes
from recommend.page import BegunPage, Page
from recommend.pictures import NO_PICTURES, Pictures
from recommend.pipeline import Answer, Begun
from recommend.query import Query
from recommend.recorded import Found, RecordingTrace
from recommend.rules.rule_set import RuleSet
from recommend.trace import Trace
from serving import captured, page_record
from serving.bodies import Around
from serving.captured import NOBODY, Capture

log = logging.getLogger(__name__)


class RecordQueue(Protocol):
    """The part of `Recorder` that a `Recording` uses."""

    count: Callable[[str, int], object]

    def put(self, captured: Capture) -> None: ...

    def digest(self, rules: RuleSet) -> str: ...


class Recording:
    """One answer, recorded or not. Nothing here raises."""

    def __init__(self, records: RecordQueue | None = None) -> None:
        """Without `records` nothing is recorded."""
        self._records = records
        self._shares: npt.NDArray[np.float64] | None = None
        self._found: list[Found] = []
        self._broken = False
        self._unplanned: list[str] = []

    def new_trace(self) -> Trace:
        """The trace of one list of the answer, from its first stage on."""
        return Trace() if self._records is None else RecordingTrace()

    def before(self, query: Query) -> None:
        """Called before the first stage."""
        if self._records is not None:
            try:
                self._shares = query.popular.shares(query.at)
            except Exception:
                log.exception("the shares of contexts cannot be recorded")

    def between(self, begun: Begun) -> None:
        """Called between the halves of the answer."""
        if self._records is None:
            return
        try:
            assert isinstance(begun.trace, RecordingTrace)
            self._broken |= begun.broken
            self._found.append(recorded.found(begun.surface, begun.query, begun.trace, begun.candidates.rows))
        except Exception:
            log.exception("what %s has found cannot be recorded", begun.surface.name)
            self._broken = True

    def between_page(self, page: BegunPage) -> None:
        """Called between the halves of a page."""
        if self._records is not None:
            for _, _, begun in page.begun:
                self.between(begun)
            self._unplanned = sorted(page.failed)

    def take(
        self,
        around: Around,
        answer: Answer,
        body: bytes | memoryview,
        chosen: Pictures = NO_PICTURES,
        people: Mapping[str, Likes] = NOBODY,
    ) -> None:
        """Called with the answer, its body, the pictures in it, and the people whose favourites it may have, with what
        they liked."""

        def capture(shares: npt.NDArray[np.float64], rules: str) -> Capture:
            (found,) = self._found
            return captured.capture(around, answer, found, shares, rules, body, chosen, people)

        self._take(around, answer.query, capture)

    def take_page(
        self,
        around: Around,
        begun: BegunPage,
        page: Page,
        chosen: list[Pictures],
        is_logged: bool,
        body: bytes | memoryview,
        people: Mapping[str, Likes] = NOBODY,
    ) -> None:
        """The same of a page of rows."""

        def capture(shares: npt.NDArray[np.float64], rules: str) -> Capture:
            taken = page_record.Taken(begun, page, chosen, is_logged, self._unplanned)
            return page_record.capture(around, taken, self._found, shares, rules, body, people)

        self._take(around, begun.query, capture)

    def _take(
        self, around: Around, query: Query, capture: Callable[[npt.NDArray[np.float64], str], Capture]
    ) -> None:  # fmt: skip
        records = self._records
        if records is None:
            return
        try:
            shares = query.popular.shares(query.at)
            if self._shares is None or self._broken or not np.array_equal(shares, self._shares):
                records.count("failed", 1)
                return
            records.put(capture(shares, records.digest(query.rules)))
        except Exception:
            log.exception("the answer %s cannot be recorded", around.request_id)
            records.count("failed", 1)


NOT_RECORDED = Recording()
