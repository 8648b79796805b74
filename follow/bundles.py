"""Watches the folder of bundles for a newly published one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from follow.loop import Loop, Looping
from schemas import bundle
from schemas.bundle import Bundle
from schemas.errors import BundleError

WATCH = "bundles"
"""name of the thread that watches the folder"""
EVERY_S = 1.0
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0

T = TypeVar("T")
Stamp = tuple[int, int, int] | None
"""of a file: when it was changed, its size, its inode; None where there is none"""


class Retry:
    """When a bundle that could not be read is tried again.

    After a pause that doubles from FIRST_RETRY_S to LAST_RETRY_S; where what it holds is wrong (BundleError), after
    LAST_RETRY_S, since it may have been read while it was copied in place; and at once when its manifest has changed.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is the bundle's."""
        self._manifest = folder / bundle.MANIFEST
        self._error: Exception | None = None
        self._tried: Stamp = None
        self._again = 0.0
        self._pause = FIRST_RETRY_S

    def attempt(self, load: Callable[[], T]) -> T:
        """What `load` returns. Raises what it raises; during the pause that follows, the same exception object without
        an attempt."""
        stamp = self._stamp()
        if self._error and stamp == self._tried and time.monotonic() < self._again:
            raise self._error.with_traceback(None)
        try:
            return load()
        except Exception as error:
            self._error, self._tried = error, stamp
            broken = isinstance(error, BundleError)
            self._again = time.monotonic() + (LAST_RETRY_S if broken else self._pause)
            self._pause = min(LAST_RETRY_S, 2 * self._pause)
            raise

    def _stamp(self) -> Stamp:
        try:
            found = self._manifest.stat()
        except (OSError, ValueError):
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class BundleWatch(Looping):
    """Hands each newly published bundle to `install`, in a thread of its own.

    A bundle that cannot be used leaves the one before in force, and `health` not `up`, until another is published
    or the bundle can be used: it is tried again as `Retry` says.
    """

    def __init__(self, bundles: Path, install: Callable[[Bundle], object], every_s: float = EVERY_S) -> None:
        self._bundles = bundles
        self._install = install
        self._lock = threading.Lock()
        self._name: str | None = None
        self._retry: Retry | None = None
        """of the bundle that was published last, until it is in force"""
        self._loop = Loop(WATCH, self._look, every_s, longest_s=every_s)

    def check(self) -> bool:
        """Checks once, in the caller's thread. Whether the bundle in force is the one that was published last."""
        return self._loop.run_once()

    def _look(self) -> None:
        with self._lock:
            name = bundle.current_name(self._bundles)
            if name != self._name:
                self._name, self._retry = name, None if name is None else Retry(self._bundles / name)
            if name is not None and self._retry is not None:
                folder = self._bundles / name
                self._retry.attempt(lambda: self._install(bundle.load(folder)))
                self._retry = None
