"""Sinks of rows: the online store, retried while it is away, or a file for parity tests."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import RedisError
from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_delay, wait_exponential

from feature_repo.redis_access import RedisAccess
from feature_repo.repository import Repository
from operators.contract import Row
from schemas.clock import now_ms

if TYPE_CHECKING:
    from feature_repo.store import Writer

log = logging.getLogger(__name__)

GIVE_UP_S = 600
FAILURES = RedisError, OSError


class RowSink(Protocol):
    """Stores whole rows; `put` returns when they are stored."""

    def write(self, rows: Iterable[Row]) -> None: ...


class StoreSink:
    """Writes rows to Feast's online store.

    While the store is away the operator waits: Kafka keeps the events, checkpoints keep the state,
    and nothing is dropped. After `GIVE_UP_S` the task fails, and Flink restarts it from the last
    checkpoint, so that the job can always be stopped.
    """

    def __init__(self, feature_store: Path | None, declared: Repository, access: RedisAccess | None = None) -> None:
        """`access` is how Redis is reached, as the environment says where not given."""
        self._writer = _writer(feature_store, declared, access)
        self._retrying = Retrying(
            retry=retry_if_exception_type(FAILURES),
            wait=wait_exponential(multiplier=0.01, max=1.0),
            stop=stop_after_delay(GIVE_UP_S),
            before_sleep=before_sleep_log(log, logging.WARNING),
            reraise=True,
        )

    def write(self, rows: Iterable[Row]) -> None:
        found = list(rows)
        try:  # what tenacity keeps of an attempt takes a tenth of a small write
            self._writer.write(found)
        except FAILURES:
            self._retrying(self._writer.write, found)


def _writer(feature_store: Path | None, declared: Repository, access: RedisAccess | None) -> Writer:
    """Feast's writer, imported in the worker only: it takes seconds, which a submitting client need not pay.

    Feast imports dask, which imports scipy where it is installed (with the extra `train`), and loading
    scipy's pybind11 modules in an interpreter that Flink embeds deadlocks on the interpreter's own
    lock. Dask works without scipy where it cannot be imported.
    """
    if "scipy" not in sys.modules:
        sys.modules["scipy"] = None  # type: ignore[assignment]
    from feature_repo.store import Writer

    return Writer(feature_store, declared=declared, access=access, clock=now_ms)


class FileSink:
    """One JSON array [view, key, values] a line; bytes as hex."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)  # both operators append whole lines to one file

    def write(self, rows: Iterable[Row]) -> None:
        self._file.writelines(json.dumps(row, default=bytes.hex) + "\n" for row in rows)
