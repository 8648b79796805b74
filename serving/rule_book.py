"""The rules as the server follows them from Kafka's topic `rules`, compiled over its columns.

All changes are in one partition, so that every server sees them in one order. Of two that were made at once of the same
version, on two servers, the first in the topic is in force everywhere; the server that wrote the second writes the
first one again, so that it is also the last one, which compaction keeps. Where a third change comes before it is
written again, that one is in force, and is written again in turn, until the last one in the topic is in force.
serving/rule_writer.py does so.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from typing import NamedTuple

from feature_repo.columns import ItemColumns
from follow.loop import Loop, LoopHealth
from recommend.filtering import ItemFilters
from recommend.rules.rule_set import NO_RULES, RuleSet, compile_all
from schemas import codec, rules
from schemas.errors import InvalidEvent
from schemas.rules import Rule, RuleChange
from schemas.topics import RULES

log = logging.getLogger(__name__)

EVERY_S = 0.02
"""how often changes are looked for: rules are compiled together that come together"""


class ChangeOutcome(NamedTuple):
    """What became of a change: the one that is in force of its rule, and whether that is the change itself."""

    change: RuleChange | None
    in_force: bool


class RuleBook:
    """Every rule with its versions, and the compiled set of those in force. A follower's thread adds to it, one of its
    own compiles, and requests read it on the event loop."""

    def __init__(self, columns: ItemColumns) -> None:
        self.in_force: RuleSet = NO_RULES
        """a request reads this once"""
        self.complete = True
        """whether the topic has been read to its end as it was at the start; False only while it is being read"""
        self._columns, self._filters = columns, ItemFilters(columns)
        self._changes: dict[str, RuleChange] = {}
        self._compiled: Mapping[str, Rule] = {}
        self._lock = threading.Lock()
        self._dirty = self._read = False
        self._decided: list[tuple[asyncio.Future[ChangeOutcome], ChangeOutcome]] = []
        """changes that have been read, and are answered once they are compiled"""
        self._expected: dict[RuleChange, asyncio.Future[ChangeOutcome]] = {}
        self._loop = Loop("rules", self.refresh, EVERY_S)

    @property
    def health(self) -> LoopHealth:
        """Of the thread that compiles."""
        return self._loop.health

    def start(self) -> None:
        """Begins to compile, in a thread. The parser of filters is made now: the first rule, and the first request with
        a filter, would wait for it."""
        self.complete = False
        self._filters.compile("true")
        self._loop.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._loop.stop()

    # -- changes ---------------------------------------------------------------------------------------

    @property
    def changes(self) -> dict[str, RuleChange]:
        """The change in force of each rule that there is, by name."""
        with self._lock:
            return {name: change for name, change in sorted(self._changes.items()) if change.rule is not None}

    def latest(self, name: str) -> RuleChange | None:
        """The change in force of a rule, of a deleted one too; None where there never was one."""
        with self._lock:
            return self._changes.get(name)

    def expect(self, change: RuleChange) -> asyncio.Future[ChangeOutcome]:
        """What becomes of a change that is about to be written. Called on the event loop."""
        found: asyncio.Future[ChangeOutcome] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._expected[_frozen(change)] = found
        return found

    def forget(self, change: RuleChange) -> None:
        """Expects a change no longer."""
        with self._lock:
            self._expected.pop(_frozen(change), None)

    def on_record(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Takes one record of the topic. Raises EventError where it cannot be read: a follower skips and counts it."""
        name = key.decode(errors="replace")
        if value is None:
            with self._lock:
                self._dirty |= self._changes.pop(name, None) is not None
            return
        change: RuleChange = codec.decode(RULES, value)
        if change.name != name:
            raise InvalidEvent(f"the Kafka key is {name[:100]!r}; it must be the name", "name")
        if change.rule is not None:
            rules.loads(change.rule)
        with self._lock:
            current = self._changes.get(name)
            in_force = current is None or change.version > current.version
            if in_force:
                self._changes[name] = change
                self._dirty = True
            else:
                in_force = change == current  # written again
            expected = self._expected.pop(_frozen(change), None)
            if expected is not None:
                self._decided.append((expected, ChangeOutcome(self._changes[name], in_force)))

    def set_complete(self) -> None:
        """Marks the topic as read; the book is complete once that is compiled."""
        self._read = True

    # -- compiling -------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compiles the rules where one has changed, or where items have attributes that they had not."""
        with self._lock:
            read, shape = self._read, self._columns.filterable.shape
            if self._dirty:
                found = {name: rules.loads(each.rule) for name, each in self._changes.items() if each.rule is not None}
            elif self._compiled and shape != self.in_force.shape:
                found = dict(self._compiled)
            else:
                found = None
            decided, self._decided, self._dirty = self._decided, [], False
        try:
            if found is not None:
                self.in_force = compile_all(found, self._columns, self._filters, self.in_force)
                self._compiled = found
                for name, problem in self.in_force.faults.items():
                    log.warning("rule %s is not in force: %s", name, problem)
            self.complete = self.complete or read
        except BaseException:
            self._dirty = True
            raise
        finally:
            for future, outcome in decided:
                future.get_loop().call_soon_threadsafe(_answer, future, outcome)

    def with_changes(self, changed: Mapping[str, Rule | None]) -> RuleSet:
        """The set that there would be with these rules added, replaced or (None) deleted. May run in any thread."""
        found = {name: rules.loads(each.rule) for name, each in self.changes.items() if each.rule is not None}
        found |= {name: rule for name, rule in changed.items() if rule is not None}
        kept = {name: rule for name, rule in found.items() if changed.get(name, rule) is not None}
        return compile_all(kept, self._columns, ItemFilters(self._columns), self.in_force)


def _frozen(change: RuleChange) -> RuleChange:
    """A key: what is one server's alone is who changed which version of what, when and to what."""
    return RuleChange(change.name, change.version, change.by, change.at, change.rule, ())  # type: ignore[arg-type]


def _answer(future: asyncio.Future[ChangeOutcome], outcome: ChangeOutcome) -> None:
    if not future.done():
        future.set_result(outcome)
