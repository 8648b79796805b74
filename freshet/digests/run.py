"""One run of digests: each person through the surface as the server answers it, then to Kafka in batches.

    people ─► sent, capped? ─► hydrate ─► consent, opt-out, segment, quiet hours ─► answer ─► batch ─► topic, file
                  skipped                          skipped, deferred             too few

A run goes on where one before it ended, however that ended: whoever has a digest of the period in the topic is skipped
before anything is read of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from freshet.digests.files import DeferredFile, DigestFile
from freshet.digests.sent import Sent
from freshet.errors import DigestsError, InputError
from operators.time import DAY
from recommend.digest import LONGEST, DigestPlan, is_capped, quiet_until, wants, zone_of
from recommend.filtering import FilterError, ItemFilter
from recommend.query import Query
from recommend.surface import Surface
from recommend.wording import DEFAULT, language_of
from schemas import digests
from schemas.clock import now_ms
from schemas.events import Impression
from serving.answers import sponsored_of
from serving.feeds import feed_parameters
from serving.hydrate import Person
from serving.log_limit import OncePerMinute
from serving.others import Others
from serving.personal import Personal, answer_to, impression, read_others, read_person
from serving.requested import Requested, Requests
from serving.services import Services

log = logging.getLogger(__name__)
log.addFilter(OncePerMinute())  # what fails for one person may fail for each

BATCH = 100
"""digests of one transaction"""
LOCALE = "locale"
"""the attribute of a profile with the locale of texts (BCP 47)"""

NO_OTHERS = Others({})

SENT, CAPPED, NO_CONSENT, OPTED_OUT, UNKNOWN, OTHERS, TOO_FEW, UNAVAILABLE = (
    "sent already", "capped", "no consent", "opted out", "unknown", "not in the segment", "too few items",
    "unavailable",
)  # fmt: skip
"""why people are skipped; UNAVAILABLE where a row cannot be read or a stage failed: the next run tries again"""


class Writes(Protocol):
    """The part of `Outbox` that a run uses."""

    def commit(self, batch: Sequence[tuple[digests.Digest, Impression]]) -> None: ...


class _NotSent(Exception):
    """Why a person gets nothing now: a reason, or the time until which it is deferred, epoch ms."""

    def __init__(self, reason: str = "", until: int = 0) -> None:
        self.reason, self.until = reason, until


@dataclass
class RunReport:
    """What came of a run. `deferred` people are in quiet hours, the first of which end at `next_at`, epoch ms."""

    people: int = 0
    sent: int = 0
    items: int = 0
    deferred: int = 0
    next_at: int | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """People a second."""
        return self.people / self.seconds if self.seconds else 0.0


def period_of(at: int) -> str:
    """The period that a run at `at`, epoch ms, is of where none is named: the day in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()


class DigestRun:
    """Runs over people. Services are started, and closed, by the caller."""

    def __init__(
        self,
        services: Services,
        surface: Surface,
        sent: Sent,
        outbox: Writes | None,
        *,
        period: str = "",
        where: str = "",
        file: DigestFile | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`where` is a filter that reads people and the request alone; without `outbox` nothing is written to Kafka;
        `file` gets the digests; `clock` gives epoch ms. Raises InputError where the surface is not sent as messages, or
        the filter cannot be used."""
        if surface.digest is None:
            raise InputError(f"{surface.name} is not sent as messages: give the surface a digest=DigestPlan(…)")
        self._services, self._surface, self._digest = services, surface, surface.digest
        self.channel = channel_of(surface)
        self._period = period or period_of(clock())
        self._sent, self._outbox, self._file, self._clock = sent, outbox, file, clock
        self._deferred: DeferredFile | None = None
        self._requests = Requests(services)
        self._parameters = feed_parameters(services.personal)
        self._asked: dict[str, Any] = {each.name: each.default for each in self._parameters}
        self._where = self._segment(where) if where else None
        self._batch: list[tuple[digests.Digest, Impression]] = []
        self.report = RunReport()

    async def run(self, people: Iterable[str], deferred: DeferredFile | None = None) -> RunReport:
        """Sends to the people who are due, each once; `deferred` gets those in quiet hours. Raises DigestsError where
        Kafka does not store a batch, or the online store is away, and what `people` raises: what was made before is
        sent, and `report` has it. A new run goes on from there."""
        self._deferred, started = deferred, time.perf_counter()
        try:
            for user_id in people:
                await asyncio.sleep(0)  # the store is reopened meanwhile
                if not self._services.store.healthy:
                    raise DigestsError("the online store is away; start the run again once it is back")
                self.report.people += 1
                await self._one(user_id)
        finally:
            try:
                self._commit()
            finally:
                self.report.seconds = time.perf_counter() - started
        return self.report

    async def _one(self, user_id: str) -> None:
        """Puts the person's digest into the batch, or counts why there is none."""
        try:
            self._batch.append(await self._made(user_id))
        except _NotSent as reason:
            if reason.until:
                self._defer(user_id, reason.until)
            else:
                self.report.skipped[reason.reason] += 1
        except Exception:  # one person's must not end the run, each time at the same place
            log.exception("the digest of %s cannot be made", user_id)
            self.report.skipped[UNAVAILABLE] += 1
        else:
            # At once: the same person may come again before the batch is written.
            self._sent.add(self._batch[-1][0])
            if len(self._batch) >= BATCH:
                self._commit()

    def _defer(self, user_id: str, until: int) -> None:
        report = self.report
        report.deferred += 1
        report.next_at = until if report.next_at is None else min(report.next_at, until)
        if self._deferred is not None:
            self._deferred.add(user_id, until)

    def _commit(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        if self._outbox is not None:
            self._outbox.commit(batch)
        for digest, _ in batch:
            self.report.sent += 1
            self.report.items += len(digest.items)
            if self._file is not None:
                self._file.add(digest)
        if self._file is not None:
            self._file.flush()

    async def _made(self, user_id: str) -> tuple[digests.Digest, Impression]:
        """The person's digest and its impression. Raises _NotSent."""
        now, digest = self._clock(), self._digest
        digest_id = digests.digest_id(self.channel, self._period, user_id)
        if self._sent.has(digest_id):
            raise _NotSent(SENT)
        if is_capped(digest, self._sent.times(user_id, self.channel), now):
            raise _NotSent(CAPPED)
        requested = self._requests.check(self._asked, self._surface, self._parameters, user_id)
        requested = replace(requested, now=now)
        person = await read_person(self._services, requested, user_id, attributes=True)
        query = self._query(requested, person, user_id, NO_OTHERS)
        attributes = query.request_values.user["attributes"]
        self._check(person, query, attributes, now)
        requested = replace(requested, asked={**self._asked, "locale": _locale(attributes)})
        others = await read_others(self._services, self._surface.reads, user_id, person, now)
        query = self._query(requested, person, user_id, others)
        found = await answer_to(person, requested, query, is_short=others.degraded)
        if found.degraded:
            raise _NotSent(UNAVAILABLE)
        if len(found.answer.item_ids) < digest.least:
            raise _NotSent(TOO_FEW)
        shown = impression(digest_id, user_id, requested, found.answer, ranked=found)
        return self._message(digest_id, user_id, requested, found), shown

    def _check(self, person: Person, query: Query, attributes: dict[str, Any], now: int) -> None:
        if person.degraded:
            raise _NotSent(UNAVAILABLE)
        if not person.consent:
            raise _NotSent(NO_CONSENT)
        if person.features["profile_offset"] < 0 and not person.features["last_event_at"]:
            raise _NotSent(UNKNOWN)
        if not wants(attributes, self.channel):
            raise _NotSent(OPTED_OUT)
        if self._where is not None and not _holds(self._where, query):
            raise _NotSent(OTHERS)
        until = quiet_until(self._digest, now, zone_of(self._digest, attributes))
        if until is not None:
            raise _NotSent(until=until)

    def _query(self, requested: Requested, person: Person, user_id: str, others: Others) -> Query:
        return requested.query(
            user=person.features, others=others.favourites, n=self._surface.paging.default, pairs=person.pairs,
            user_id=user_id,
        )  # fmt: skip

    def _message(self, digest_id: str, user_id: str, requested: Requested, found: Personal) -> digests.Digest:
        answer, items = found.answer, found.answer.query.columns.items
        shown = [items[row] for row in answer.candidates.rows.tolist()]
        labels = [sponsored_of(answer, row) for row in answer.candidates.rows.tolist()]
        return digests.Digest(
            digest_id, user_id, self.channel, self._surface.name, self._period, requested.now, answer.item_ids,
            [item.title if item else "" for item in shown],
            answer.scores,
            [reason.text if reason else "" for reason in answer.reasons],
            answer.query.language, requested.variant.version, requested.variant.name,
            [label or "" for label in labels] if any(labels) else None,
        )  # fmt: skip

    def _segment(self, text: str) -> ItemFilter:
        try:
            found = self._services.pipeline.filters.compile(text)
        except FilterError as error:
            raise InputError(f"--where: {error}") from None
        if found.of_item is not None:
            raise InputError(
                f"--where: character {found.of_item + 1}: it chooses people, and reads no field of items; "
                "the surface and its rules choose items"
            )
        return found


def channel_of(surface: Surface) -> str:
    """The channel that the surface's messages are of."""
    return (surface.digest.channel if surface.digest else "") or surface.name


def horizon(digest: DigestPlan, named: bool) -> int:
    """How far back what was sent is read, ms: as far as a cap looks, and beyond the day of the period; LONGEST where
    the period is `named`, and may be of any length."""
    return LONGEST if named else max([DAY, *(cap.within for cap in digest.caps)]) + DAY


def check_model(services: Services) -> None:
    """Raises DigestsError where no model is in force: a message cannot be taken back."""
    if services.pipeline.model is None:
        raise DigestsError("no bundle is in force; train one first (`freshet train`)")


def _holds(where: ItemFilter, query: Query) -> bool:
    """Whether the person is in the segment; people of whom an attribute is not known are not."""
    try:
        return where.holds(query.request_values)
    except Exception:
        return False


def _locale(attributes: dict[str, Any]) -> str:
    said = attributes.get(LOCALE)
    return language_of(said) if isinstance(said, str) else DEFAULT
