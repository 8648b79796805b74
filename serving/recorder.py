"""Records a share of the answers, so that they can be computed again later (`freshet explain`).

Nothing changes the item columns while a recorded answer is made: the threads that follow Kafka and load bundles wait
for it. Its facts are taken at the end and go through a bounded queue to a thread, which makes, encodes and stores the
record. Where the queue is full, or the columns are not free at once, the answer is not recorded, and that is counted.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import msgspec

from follow.loop import Loop, LoopHealth
from operators.time import DAY
from recommend.rules.rule_set import NO_RULES, RuleSet
from schemas.clock import now_ms
from serving import answer_record
from serving.answer_record import RecordTooLarge
from serving.captured import Capture
from serving.hydrate import Person
from serving.record_store import RecordStore, StoredRecord
from serving.recording import NOT_RECORDED, Recording
from serving.withdrawals import Withdrawals

log = logging.getLogger(__name__)

EVERY_S = 0.2
PRUNE_MS = 60_000
RULES_KEPT = 64
"""sets of rules in memory: as many changes within EVERY_S and more"""
HOLD_S = 0.005
"""how long a request waits for a thread that is changing the columns"""
FORGET = 1000
"""people whose records are deleted in one transaction"""


class Holds(Protocol):
    """The part of `LiveCatalogue` that a `Recorder` uses."""

    def hold(self, seconds: float) -> bool: ...

    def release(self) -> None: ...


class Recorder:
    """Used from the event loop, but for its thread."""

    def __init__(
        self,
        store: RecordStore,
        columns: Holds,
        share: float,
        queue: int,
        days: float,
        most_bytes: int,
        count: Callable[[str, int], object],
    ) -> None:
        """`share` of the answers is recorded, 0 … 1; `queue` of them wait at most; they are kept for `days`, and
        `most_bytes` of them. `count(result, n)` is called with stored, dropped, busy, too_large or failed."""
        self._store, self._columns, self._share = store, columns, share
        self._size, self._days, self._most_bytes = queue, days, most_bytes
        self.count = count
        self.withdrawals = Withdrawals(self._forget)
        self._waiting: deque[tuple[int, Capture]] = deque()
        """with the time of each, epoch ms"""
        self._forgotten: deque[tuple[str, int]] = deque()
        """whose records are to be deleted, and up to which time"""
        self._known: tuple[RuleSet, str, bytes] = NO_RULES, "", b""
        self._rules: dict[str, bytes] = {}
        """the latest, by digest"""
        self._pruned = 0
        self._lock = threading.Lock()
        self._loop = Loop("records", self.flush, EVERY_S, finishes=True)

    @property
    def is_used(self) -> bool:
        """Whether answers are recorded, or were."""
        return self._share > 0 or self._store.exists

    @property
    def health(self) -> LoopHealth:
        return self._loop.health

    def start(self) -> None:
        """Starts the thread, where there is anything for it to do."""
        if self.is_used:
            self._loop.start()

    def stop(self) -> None:
        """Ends the thread, once what waits is stored."""
        if self._loop.alive:
            self._loop.stop()

    @contextmanager
    def recording(self, request_id: str, person: Person | None) -> Iterator[Recording]:
        """The recording of an answer that is made within. Of a person without known consent nothing is recorded."""
        chosen = self._share > 0 and int(request_id[:8], 16) < self._share * 2**32
        if not chosen or (person is not None and not person.consent):
            yield NOT_RECORDED
            return
        if not self._columns.hold(HOLD_S):
            self.count("busy", 1)
            yield NOT_RECORDED
            return
        try:
            yield Recording(self)
        finally:
            self._columns.release()

    def put(self, captured: Capture) -> None:
        """Queues one record, or drops it where the queue is full. Of people who have withdrawn consent meanwhile
        nothing is recorded."""
        if self._is_withdrawn(captured):
            return
        if len(self._waiting) < self._size:
            self._waiting.append((now_ms(), captured))
        else:
            self.count("dropped", 1)

    def _is_withdrawn(self, captured: Capture) -> bool:
        around, withdrawn = captured.around, self.withdrawals
        return around.user_id in withdrawn or any(each in withdrawn for each in captured.people)

    def _forget(self, user_id: str, until: int) -> None:
        """Deletes a person's records, and those of answers that were made of the person's favourites, up to a time,
        epoch ms. Called from any thread."""
        if self.is_used:
            self._forgotten.append((user_id, until))

    def digest(self, rules: RuleSet) -> str:
        """A digest of the rules, which are stored with the first record that has it."""
        if not rules.rules:
            return ""
        known, digest, text = self._known
        if known is not rules:
            text = msgspec.json.encode({each.name: each.rule for each in rules.rules}, order="sorted")
            digest = hashlib.sha256(text).hexdigest()
            self._known = rules, digest, text
            self._rules[digest] = text
            while len(self._rules) > RULES_KEPT:
                self._rules.pop(next(iter(self._rules)))
        return digest

    def flush(self) -> None:
        """Makes, encodes and stores the records that wait. Raises what the store does; what was taken from the queue is
        then lost, and counted."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        now = now_ms()
        forgotten: dict[str, int] = {}
        while self._forgotten and len(forgotten) < FORGET:
            user_id, until = self._forgotten.popleft()
            forgotten[user_id] = max(until, forgotten.get(user_id, until))
        try:
            self._store_waiting(forgotten)
            if forgotten:
                self._store.forget(forgotten)
        except BaseException:
            self._forgotten.extend(forgotten.items())  # until it succeeds
            raise
        if now - self._pruned >= PRUNE_MS:
            self._store.prune(now - round(self._days * DAY), self._most_bytes)
            self._pruned = now

    def _store_waiting(self, forgotten: Mapping[str, int]) -> None:
        entries: list[StoredRecord] = []
        while self._waiting:
            at, captured = self._waiting.popleft()
            around = captured.around
            person = around.user_id or ""
            if self._is_withdrawn(captured) or any(
                at <= forgotten.get(each, -1) for each in (person, *captured.people)
            ):
                continue
            try:
                found = captured.record()
                data = answer_record.encode(found, captured.body)
                made_of = captured.made_of(found)
            except RecordTooLarge:
                self.count("too_large", 1)
                continue
            except Exception as error:
                self._loop.note(error, "a record was lost")
                self.count("failed", 1)
                continue
            entries.append(StoredRecord(around.request_id, person, at, found.rules, data, made_of))
        if not entries:
            return
        try:
            # All that are known: one of them may be of a record that comes next, and was pruned meanwhile.
            self._store.write(entries, list(self._rules.items()))
        except BaseException:
            self.count("failed", len(entries))
            raise
        self.count("stored", len(entries))
