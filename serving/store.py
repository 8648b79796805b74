"""Reads the online store behind a circuit breaker: requests do not wait for a store that is down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as ReadTimeout

from feature_repo.reads import Reads
from feature_repo.views import OF_OTHERS
from serving.settings import ServingSettings

log = logging.getLogger(__name__)
Found = TypeVar("Found")

READERS = 4
"""threads that read pairs and other people: a read waits for a round trip, and takes the interpreter for most of its
time"""
PROBE = "freshet-probe"
"""a person whom nobody is: reading them says whether the store answers"""


class UserRows(Protocol):
    """Reads a person's row: field name → value as in `user_activity`, declared features as view:field; None for a
    person without one. The attributes of the profile are empty unless asked for, and `user_shown` is left out."""

    def read(self, user_id: str, attributes: bool = False, shown: bool = False) -> Mapping[str, Any] | None: ...

    def read_people(
        self, user_ids: Sequence[str], fields: Sequence[str] = OF_OTHERS
    ) -> Mapping[str, Mapping[str, Any]]:
        """Fields, of OF_OTHERS and MET_BEFORE, of several people's rows, in one round trip; missing rows are left
        out."""

    def read_pairs(
        self, user_id: str, asked: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """The person's rows in views of pairs, all in one round trip: by view and second key; missing rows are left
        out."""


def _tried(rows: UserRows, read: Callable[[UserRows], Found]) -> Found | Exception:
    """The answer of the store, or its error."""
    try:
        try:
            return read(rows)
        except ReadTimeout:
            return read(rows)
    except Exception as error:
        return error


class StoreAway(Exception):
    """The store does not answer, or its answer cannot be read."""


class Store:
    """A UserRows that is opened, watched and reopened in the background."""

    def __init__(self, open_rows: Callable[[], UserRows], retry_s: float) -> None:
        """`open_rows` may raise for as long as the store cannot be opened."""
        self._open_rows = open_rows
        self._retry_s = retry_s
        self._rows: UserRows | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "store-probe")
        self._readers = ThreadPoolExecutor(READERS, "store-reader")

    @property
    def healthy(self) -> bool:
        return self._rows is not None and self._recovering is None

    async def start(self) -> None:
        """Opens the store; where that fails, retries in the background."""
        try:
            await self._probe()
        except Exception as error:
            self._fail(error)

    async def stop(self) -> None:
        if self._recovering:
            self._recovering.cancel()
        self._thread.shutdown(wait=False)
        self._readers.shutdown(wait=False)

    def read(self, user_id: str, attributes: bool = False, shown: bool = False) -> Mapping[str, Any] | None:
        """The person's row, with the attributes of their profile and with what they were shown where asked for.

        Raises StoreAway, immediately while the circuit is open. A read that times out is retried once, so that a single
        slow read does not open the circuit for all requests.

        It blocks for a round trip to the store on purpose: handing a read of a third of a millisecond to a
        thread and back costs more than the wait, and the socket's timeout bounds it.
        """
        return self._ask(lambda rows: rows.read(user_id, attributes, shown))

    def read_pairs(self, user_id: str, view: str, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """The person's rows in a view of pairs. Raises and blocks as `read`."""
        return self._ask(lambda rows: rows.read_pairs(user_id, {view: names}).get(view, {}))

    async def pairs(
        self, user_id: str, asked: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """The person's rows in views of pairs, by view and second key, in one round trip that does not block the event
        loop. Raises as `read`."""
        return await self._ask_aside(lambda rows: rows.read_pairs(user_id, asked))

    async def people(
        self,
        user_ids: Sequence[str],
        fields: Sequence[str] = OF_OTHERS,
        keep: Callable[[Mapping[str, Any]], bool] = lambda row: True,
    ) -> Mapping[str, Mapping[str, Any]]:
        """Fields, of OF_OTHERS and MET_BEFORE, of several people's rows, of those who have one and for whose row `keep`
        is true, in one round trip. That and `keep` do not block the event loop. Raises as `read`."""

        def read(rows: UserRows) -> dict[str, Mapping[str, Any]]:
            return {user_id: row for user_id, row in rows.read_people(user_ids, fields).items() if keep(row)}

        return await self._ask_aside(read)

    async def _ask_aside(self, read: Callable[[UserRows], Found]) -> Found:
        if self._rows is None or self._recovering is not None:
            raise StoreAway("the online store is away")
        rows, loop = self._rows, asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._readers, lambda: _tried(rows, read))
        return self._checked(answer)

    def _ask(self, read: Callable[[UserRows], Found]) -> Found:
        if self._rows is None or self._recovering is not None:
            raise StoreAway("the online store is away")
        return self._checked(_tried(self._rows, read))

    def _checked(self, answer: Found | Exception) -> Found:
        """The answer; a failure opens the circuit. Runs in the event loop's thread."""
        if not isinstance(answer, Exception):
            return answer
        if isinstance(answer, (RedisError, OSError)):
            self._fail(answer)
        else:  # a row that cannot be read is one person's trouble
            log.warning("a row could not be read: %s", answer)
        raise StoreAway(str(answer)) from answer

    def _fail(self, error: Exception) -> None:
        if self._recovering is None:
            log.warning("the online store is away: %s", error)
            self._recovering = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        while True:
            await asyncio.sleep(self._retry_s)
            try:
                await self._probe()
                break
            except Exception as error:
                log.debug("the online store is still away: %s", error)
        log.info("the online store is back")
        self._recovering = None

    async def _probe(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._probe_now)

    def _probe_now(self) -> None:
        rows = self._rows or self._open_rows()
        rows.read(PROBE)
        self._rows = rows


def feast_rows(settings: ServingSettings, reads: Reads) -> Callable[[], UserRows]:
    """Opens the rows of Feast's online store, with the inputs of crosses."""

    def open_rows() -> UserRows:
        from feature_repo.store import UserReader  # Feast takes seconds to import; tests do without

        return UserReader(settings.feature_store, settings.store_timeout_ms / 1000, reads)

    return open_rows
