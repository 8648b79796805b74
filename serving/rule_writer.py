"""Writes changes of rules to Kafka's topic `rules`, so that the last one of each rule in the topic is the one in force:
compaction keeps it alone (serving/rule_book.py says how that may not be so)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from follow.loop import ERROR_TEXT, FIRST_RETRY_S, LAST_RETRY_S, LoopHealth
from schemas.rules import RuleChange
from serving.problems import Unavailable
from serving.producer import EventProducer, KafkaAway
from serving.rule_book import ChangeOutcome, RuleBook

log = logging.getLogger(__name__)

READ_BACK_S = 5.0
"""how long a change may take from the broker's acknowledgement until it is in force here"""


class RuleWriter:
    """Writes one change after the other. A rule whose change in force may not be the last one is repeated in the
    background until it is."""

    def __init__(self, book: RuleBook, events: EventProducer) -> None:
        self._book, self._events = book, events
        self.turn = asyncio.Lock()
        """held from reading the rule that a change is made of until the change is written"""
        self._unsettled: set[str] = set()
        """names of rules that are to be repeated"""
        self._task: asyncio.Task[None] | None = None
        self._errors, self._last_error = 0, ""

    @property
    def health(self) -> LoopHealth:
        """Not `up` while a rule waits to be repeated."""
        return LoopHealth("rule_writer", not self._unsettled, self._errors, self._last_error)

    async def write(self, change: RuleChange) -> ChangeOutcome:
        """What became of the change; needs the `turn`. Raises Unavailable where it has not been acknowledged, or not
        been read back: it may be in force later."""
        try:
            outcome = await self._append(change)
        except Unavailable as error:
            self._repeat(change.name, error)
            raise
        if outcome.in_force or outcome.change is None:
            return outcome
        try:
            return ChangeOutcome(await self._make_last(outcome.change), False)
        except Unavailable as error:  # which is no fault of the change
            self._repeat(change.name, error)
            return outcome

    async def stop(self) -> None:
        """Repeats no more rules; those that wait are named in the log."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._unsettled:
            log.warning("rules whose last change in Kafka may not be in force: %s", ", ".join(sorted(self._unsettled)))

    async def _make_last(self, change: RuleChange) -> RuleChange:
        """Writes the change in force again, or one that came before it was written, until it is in force as it is read
        back; returns that one."""
        while True:
            outcome = await self._append(change)
            if outcome.in_force or outcome.change is None:
                return change
            change = outcome.change

    async def _append(self, change: RuleChange) -> ChangeOutcome:
        expected = self._book.expect(change)
        try:
            await self._events.append([change])
            async with asyncio.timeout(READ_BACK_S):
                return await expected
        except KafkaAway:
            detail = (
                "Kafka has not acknowledged the change. Read the rule, and send the change again if it is as it was."
            )
            raise Unavailable(detail) from None
        except TimeoutError:
            raise Unavailable("The change is stored, but not in force on this server yet. Read the rule.") from None
        finally:
            self._book.forget(change)

    def _repeat(self, name: str, error: Exception) -> None:
        self._note(name, error)
        self._unsettled.add(name)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._repeat_all(), name="rule_writer")

    async def _repeat_all(self) -> None:
        pause_s = FIRST_RETRY_S
        while self._unsettled:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_RETRY_S)
            for name in sorted(self._unsettled):
                try:
                    async with self.turn:
                        change = self._book.latest(name)
                        if change is not None:
                            await self._make_last(change)
                        self._unsettled.discard(name)
                except Exception as error:  # whatever it is, the rule is repeated later
                    self._note(name, error)

    def _note(self, name: str, error: Exception) -> None:
        text = f"rule {name}: {type(error).__name__}: {error}"[:ERROR_TEXT]
        level = logging.DEBUG if text == self._last_error else logging.WARNING
        log.log(level, "%s", text, exc_info=None if isinstance(error, Unavailable) else error)
        self._errors, self._last_error = self._errors + 1, text
