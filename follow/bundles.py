"""Watches the folder of bundles for a newly published one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from follow.loop import Loop, LoopHealth
from schemas import bundle
from schemas.bundle import Bundle
from schemas.errors import BundleError

EVERY_S = 1.0
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0


class Retry:
    """When a bundle that could not be read is tried again: after a pause that doubles from FIRST_RETRY_S to
    LAST_RETRY_S, and never where what it holds is wrong (BundleError)."""

    def __init__(self) -> None:
        self.error: Exception = BundleError("not read yet")
        """the latest one"""
        self._again = 0.0
        self._pause = FIRST_RETRY_S

    @property
    def due(self) -> bool:
        """Whether it is to be tried now."""
        return time.monotonic() >= self._again

    def failed(self, error: Exception, final: bool = False) -> None:
        """Notes a failed attempt; after a `final` one there is no other."""
        self.error = error
        self._again = float("inf") if final else time.monotonic() + self._pause
        self._pause = min(LAST_RETRY_S, 2 * self._pause)


class BundleWatch:
    """Hands each newly published bundle to `install`, in a thread of its own.

    A bundle that cannot be used leaves the one before in force, and `health` not `up`, until another is published. A
    broken one (BundleError) is not read again, since what it holds will not change; after any other error (a disk that
    does not answer, an `install` that fails) it is tried again after a pause that doubles up to LAST_RETRY_S.
    """

    def __init__(self, bundles: Path, install: Callable[[Bundle], object], every_s: float = EVERY_S) -> None:
        self._bundles = bundles
        self._install = install
        self._lock = threading.Lock()
        self._name: str | None = None
        self._retry: Retry | None = None
        self._loop = Loop("bundles", self._look, every_s, longest_s=every_s)

    @property
    def health(self) -> LoopHealth:
        return self._loop.health

    def start(self) -> Self:
        self._loop.start()
        return self

    def stop(self) -> None:
        self._loop.stop()

    def check(self) -> bool:
        """Checks once, in the caller's thread. Whether the bundle in force is the one that was published last."""
        return self._loop.run_once()

    def _look(self) -> None:
        with self._lock:
            name = bundle.current_name(self._bundles)
            if name == self._name:
                if self._retry is None:
                    return
                if not self._retry.due:
                    raise self._retry.error.with_traceback(None)  # the same object: it is not counted again
            else:
                self._name, self._retry = name, None
            if name is not None:
                self._take(name)

    def _take(self, name: str) -> None:
        try:
            self._install(bundle.load(self._bundles / name))
        except Exception as error:
            self._retry = self._retry or Retry()
            self._retry.failed(error, final=isinstance(error, BundleError))
            raise
        self._retry = None
